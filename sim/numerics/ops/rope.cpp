#include "sim/numerics/ops/rope.hpp"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <numbers>

#include "sim/core/diagnostics.hpp"

namespace tandem::ops {
namespace {

double llama3_frequency(double f, const Llama3Scaling& scaling) {
  const double wavelength = 2.0 * std::numbers::pi / f;
  const auto original = static_cast<double>(scaling.original_context);
  if (wavelength > original / scaling.low_frequency_factor) {
    return f / scaling.factor;
  }
  if (wavelength < original / scaling.high_frequency_factor) {
    return f;
  }
  const double s = (original / wavelength - scaling.low_frequency_factor) /
                   (scaling.high_frequency_factor - scaling.low_frequency_factor);
  return (1.0 - s) * f / scaling.factor + s * f;
}

double yarn_frequency(double f, double pair, const YarnRange& range, const YarnScaling& scaling) {
  const double ramp = std::clamp((pair - range.low) / (range.high - range.low), 0.0, 1.0);
  return f / scaling.factor * ramp + f * (1.0 - ramp);
}

double scaled_frequency(const Rope& rope, double f, std::int64_t pair) {
  if (const auto* llama3 = std::get_if<Llama3Scaling>(&rope.scaling)) {
    return llama3_frequency(f, *llama3);
  }
  if (const auto* yarn = std::get_if<YarnScaling>(&rope.scaling)) {
    return yarn_frequency(f, static_cast<double>(pair), yarn_range(rope), *yarn);
  }
  if (const auto* linear = std::get_if<LinearScaling>(&rope.scaling)) {
    return f / linear->factor;
  }
  return f;
}

/// m(s) of YaRN: 0.1 s ln(factor) + 1, and 1 where the context is not stretched.
double yarn_mscale(double factor, double s) {
  return factor <= 1.0 ? 1.0 : 0.1 * s * std::log(factor) + 1.0;
}

}  // namespace

YarnRange yarn_range(const Rope& rope) {
  const auto* yarn = std::get_if<YarnScaling>(&rope.scaling);
  if (yarn == nullptr) {
    throw ModelError("rope: only YaRN has a range of blended frequencies");
  }
  if (rope.partial == PartialRotary::Proportional) {
    throw ModelError("rope: YaRN with proportional partial rotation is defined by no model");
  }
  const auto dims = static_cast<double>(rope.rotated);
  const auto original = static_cast<double>(yarn->original_context);
  const auto pair_of = [&](double rotations) {
    return dims * std::log(original / (rotations * 2.0 * std::numbers::pi)) /
           (2.0 * std::log(rope.theta));
  };
  YarnRange range{pair_of(yarn->beta_fast), pair_of(yarn->beta_slow)};
  if (yarn->truncate) {
    range = {std::floor(range.low), std::ceil(range.high)};
  }
  range = {std::max(range.low, 0.0), std::min(range.high, dims - 1.0)};
  if (range.low == range.high) {
    range.high += 0.001;  // keeps the ramp finite
  }
  return range;
}

std::vector<float> rope_frequencies(const Rope& rope, std::int64_t head_dim) {
  assert(rope.rotated % 2 == 0 && rope.rotated <= head_dim);
  const bool proportional = rope.partial == PartialRotary::Proportional;
  const std::int64_t dims = proportional ? head_dim : rope.rotated;
  std::vector<float> frequencies;
  for (std::int64_t i = 0; i < dims; i += 2) {
    const double exponent = static_cast<double>(i) / static_cast<double>(dims);
    const double f = 1.0 / std::pow(rope.theta, exponent);
    const double scaled = i < rope.rotated ? scaled_frequency(rope, f, i / 2) : 0.0;
    frequencies.push_back(static_cast<float>(scaled));
  }
  return frequencies;
}

double rope_magnitude(const Rope& rope) {
  const auto* yarn = std::get_if<YarnScaling>(&rope.scaling);
  return yarn == nullptr ? 1.0
                         : yarn_mscale(yarn->factor, yarn->mscale) /
                               yarn_mscale(yarn->factor, yarn->mscale_all);
}

double yarn_softmax_factor(const Rope& rope) {
  const auto* yarn = std::get_if<YarnScaling>(&rope.scaling);
  if (yarn == nullptr) {
    return 1.0;
  }
  const double m = yarn_mscale(yarn->factor, yarn->mscale_all);
  return m * m;
}

void rotate_heads(std::span<float> heads, std::int64_t head_dim, std::span<const float> frequencies,
                  RopeLayout layout, double magnitude, std::int64_t position) {
  const auto width = static_cast<std::size_t>(head_dim);
  assert(width > 0 && heads.size() % width == 0 && 2 * frequencies.size() <= width);
  // Pair i of a head stands at i * stride and i * stride + gap.
  const bool interleaved = layout == RopeLayout::Interleaved;
  const std::size_t stride = interleaved ? 2 : 1;
  const std::size_t gap = interleaved ? 1 : frequencies.size();
  for (std::size_t i = 0; i < frequencies.size(); ++i) {
    const auto angle = static_cast<double>(static_cast<float>(position) * frequencies[i]);
    const auto cosine = static_cast<float>(std::cos(angle) * magnitude);
    const auto sine = static_cast<float>(std::sin(angle) * magnitude);
    for (std::size_t head = 0; head < heads.size(); head += width) {
      float& first = heads[head + i * stride];
      float& second = heads[head + i * stride + gap];
      const float a = first;
      const float b = second;
      first = a * cosine - b * sine;
      second = a * sine + b * cosine;
    }
  }
}

}  // namespace tandem::ops
