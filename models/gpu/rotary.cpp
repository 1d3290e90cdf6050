#include "models/gpu/rotary.hpp"

#include <algorithm>
#include <cmath>

namespace tandem::gpu {
namespace {

/// Turns that a pair makes over the context a model was trained on.
double turns_over(std::int64_t context, double frequency) {
  return static_cast<double>(context) * frequency / (2 * M_PI);
}

/// Llama 3.1: long wavelengths are slowed by `factor`, those between the two bounds are blended
/// (Meta, llama-models, apply_scaling).
double slowed(const ops::Llama3Scaling& scaling, double frequency) {
  const double turns = turns_over(scaling.original_context, frequency);
  if (turns < scaling.low_frequency_factor) return frequency / scaling.factor;
  if (turns > scaling.high_frequency_factor) return frequency;
  const double blend = (turns - scaling.low_frequency_factor) /
                       (scaling.high_frequency_factor - scaling.low_frequency_factor);
  return (1 - blend) * frequency / scaling.factor + blend * frequency;
}

/// The pair, a fraction, that makes `turns` over the original context.
double pair_with_turns(const ops::Rope& rope, const ops::YarnScaling& scaling, double turns) {
  const double stretch = static_cast<double>(scaling.original_context) / (turns * 2 * M_PI);
  return static_cast<double>(rope.rotated) * std::log(stretch) / (2 * std::log(rope.theta));
}

/// YaRN (Peng et al., arXiv 2309.00071): pairs that turn often keep their frequency, those that
/// turn little are slowed by `factor`, a ramp lies between.
double slowed(const ops::Rope& rope, const ops::YarnScaling& scaling, double frequency,
              std::int64_t pair) {
  double low = pair_with_turns(rope, scaling, scaling.beta_fast);
  double high = pair_with_turns(rope, scaling, scaling.beta_slow);
  if (scaling.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, static_cast<double>(rope.rotated) - 1);
  if (high == low) high += 0.001;  // as the published code keeps the ramp finite
  const double ramp = std::clamp((static_cast<double>(pair) - low) / (high - low), 0.0, 1.0);
  return frequency * (1 - ramp) + frequency / scaling.factor * ramp;
}

/// Radians per position of a pair that rotates; `width` elements would rotate in all.
double pair_frequency(const ops::Rope& rope, std::int64_t width, std::int64_t pair) {
  const double exponent = 2.0 * static_cast<double>(pair) / static_cast<double>(width);
  const double frequency = 1.0 / std::pow(rope.theta, exponent);
  if (const auto* llama = std::get_if<ops::Llama3Scaling>(&rope.scaling)) {
    return slowed(*llama, frequency);
  }
  if (const auto* yarn = std::get_if<ops::YarnScaling>(&rope.scaling)) {
    return slowed(rope, *yarn, frequency, pair);
  }
  const auto* linear = std::get_if<ops::LinearScaling>(&rope.scaling);
  return linear == nullptr ? frequency : frequency / linear->factor;
}

/// What YaRN multiplies cosine and sine by: growth(mscale) / growth(mscale_all).
double magnitude_of(const ops::Rope& rope) {
  const auto* yarn = std::get_if<ops::YarnScaling>(&rope.scaling);
  if (yarn == nullptr || yarn->factor <= 1) return 1;
  const double logarithm = 0.1 * std::log(yarn->factor);
  return (yarn->mscale * logarithm + 1) / (yarn->mscale_all * logarithm + 1);
}

}  // namespace

RopeTable::RopeTable(const ops::Rope& rope, std::int64_t head_dim, std::int64_t positions)
    : layout_(rope.layout) {
  const bool spreads = rope.partial == ops::PartialRotary::Proportional;
  const std::int64_t width = spreads ? head_dim : rope.rotated;
  const double magnitude = magnitude_of(rope);
  pairs_ = width / 2;
  for (std::int64_t position = 0; position < positions; ++position) {
    for (std::int64_t pair = 0; pair < pairs_; ++pair) {
      const bool rotates = 2 * pair < rope.rotated;
      const auto frequency = static_cast<float>(rotates ? pair_frequency(rope, width, pair) : 0.0);
      const float angle = static_cast<float>(position) * frequency;
      cosine_.push_back(static_cast<float>(std::cos(static_cast<double>(angle)) * magnitude));
      sine_.push_back(static_cast<float>(std::sin(static_cast<double>(angle)) * magnitude));
    }
  }
}

void RopeTable::rotate(std::int64_t position, std::span<float> head, ops::RopeLayout layout) const {
  const bool interleaved = layout == ops::RopeLayout::Interleaved;
  for (std::int64_t pair = 0; pair < pairs_; ++pair) {
    const auto index = static_cast<std::size_t>(position * pairs_ + pair);
    const auto a = static_cast<std::size_t>(interleaved ? 2 * pair : pair);
    const auto b = static_cast<std::size_t>(interleaved ? 2 * pair + 1 : pair + pairs_);
    const float x = head[a];
    const float y = head[b];
    head[a] = x * cosine_[index] - y * sine_[index];
    head[b] = x * sine_[index] + y * cosine_[index];
  }
}

}  // namespace tandem::gpu
