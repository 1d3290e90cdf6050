#include "sim/numerics/ops/rope.hpp"

#include <cassert>
#include <cmath>
#include <numbers>

namespace tandem::ops {
namespace {

double scaled_frequency(double f, const FrequencyScaling& scaling) {
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

/// Pair i of a head stands at i * stride and i * stride + gap.
void rotate(std::span<float> heads, std::span<const float> frequencies, std::int64_t position,
            std::size_t stride, std::size_t gap) {
  const std::size_t head_dim = 2 * frequencies.size();
  assert(head_dim > 0 && heads.size() % head_dim == 0);
  for (std::size_t i = 0; i < frequencies.size(); ++i) {
    // The angle is rounded to float as in llama2.c run.c forward().
    const float angle = static_cast<float>(position) * frequencies[i];
    const auto cosine = static_cast<float>(std::cos(static_cast<double>(angle)));
    const auto sine = static_cast<float>(std::sin(static_cast<double>(angle)));
    for (std::size_t head = 0; head < heads.size(); head += head_dim) {
      float& first = heads[head + i * stride];
      float& second = heads[head + i * stride + gap];
      const float a = first;
      const float b = second;
      first = a * cosine - b * sine;
      second = a * sine + b * cosine;
    }
  }
}

}  // namespace

std::vector<float> rope_frequencies(std::int64_t head_dim, double theta,
                                    const std::optional<FrequencyScaling>& scaling) {
  std::vector<float> frequencies;
  for (std::int64_t i = 0; i < head_dim; i += 2) {
    const double exponent = static_cast<double>(i) / static_cast<double>(head_dim);
    const double f = 1.0 / std::pow(theta, exponent);
    frequencies.push_back(static_cast<float>(scaling ? scaled_frequency(f, *scaling) : f));
  }
  return frequencies;
}

void rope_interleaved(std::span<float> heads, std::span<const float> frequencies,
                      std::int64_t position) {
  rotate(heads, frequencies, position, 2, 1);
}

void rope_half_split(std::span<float> heads, std::span<const float> frequencies,
                     std::int64_t position) {
  rotate(heads, frequencies, position, 1, frequencies.size());
}

}  // namespace tandem::ops
