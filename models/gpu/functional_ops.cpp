#include "models/gpu/functional_ops.hpp"

#include <algorithm>
#include <cmath>

#include "sim/numerics/dot.hpp"
#include "sim/numerics/special.hpp"

namespace tandem::gpu {
namespace {

/// Frequency of one pair, with the scaling of Llama 3.1: long wavelengths are slowed by `factor`,
/// those between the two bounds are blended (Meta, llama-models, apply_scaling).
double pair_frequency(const DenseDecoder& network, std::int64_t pair) {
  const double exponent = 2.0 * static_cast<double>(pair) / static_cast<double>(network.head_dim);
  const double frequency = 1.0 / std::pow(network.rope.theta, exponent);
  const auto* found = std::get_if<ops::Llama3Scaling>(&network.rope.scaling);
  if (found == nullptr) return frequency;
  const ops::Llama3Scaling& scaling = *found;
  const double turns = static_cast<double>(scaling.original_context) * frequency / (2 * M_PI);
  if (turns < scaling.low_frequency_factor) return frequency / scaling.factor;
  if (turns > scaling.high_frequency_factor) return frequency;
  const double blend = (turns - scaling.low_frequency_factor) /
                       (scaling.high_frequency_factor - scaling.low_frequency_factor);
  return (1 - blend) * frequency / scaling.factor + blend * frequency;
}

}  // namespace

float matrix_dot(ElementType math, std::span<const float> a, std::span<const float> b) {
  return math == ElementType::Float32 ? dot_float32(a, b) : dot_wide(a, b);
}

float matrix_dot_in_parts(ElementType math, std::span<const float> a, std::span<const float> b,
                          std::int64_t part) {
  const auto length = static_cast<std::size_t>(part);
  float sum = 0;
  for (std::size_t begin = 0; begin < a.size(); begin += length) {
    const std::size_t count = std::min(length, a.size() - begin);
    sum += matrix_dot(math, a.subspan(begin, count), b.subspan(begin, count));
  }
  return sum;
}

void norm_row(std::span<const float> x, std::span<const float> weight, double epsilon,
              ElementType type, std::span<float> y) {
  const float mean = dot_float32(x, x) / static_cast<float>(x.size());
  const float scale = special::rsqrt(mean + static_cast<float>(epsilon));
  for (std::size_t i = 0; i < x.size(); ++i) y[i] = round_to(type, weight[i] * (scale * x[i]));
}

void activation_row(std::span<const float> gate_up, ElementType type, std::span<float> y) {
  for (std::size_t i = 0; i < y.size(); ++i) {
    const float gate = gate_up[i];
    const float sigmoid = special::recip(1.0F + special::exp(-gate));
    y[i] = round_to(type, gate * sigmoid * gate_up[y.size() + i]);
  }
}

RopeTable::RopeTable(const DenseDecoder& network, std::int64_t positions)
    : layout_(network.rope.layout), pairs_(network.head_dim / 2) {
  for (std::int64_t position = 0; position < positions; ++position) {
    for (std::int64_t pair = 0; pair < pairs_; ++pair) {
      const auto frequency = static_cast<float>(pair_frequency(network, pair));
      const float angle = static_cast<float>(position) * frequency;
      cosine_.push_back(static_cast<float>(std::cos(static_cast<double>(angle))));
      sine_.push_back(static_cast<float>(std::sin(static_cast<double>(angle))));
    }
  }
}

void RopeTable::rotate(std::int64_t position, std::span<float> head) const {
  for (std::int64_t pair = 0; pair < pairs_; ++pair) {
    const auto index = static_cast<std::size_t>(position * pairs_ + pair);
    const bool interleaved = layout_ == RopeLayout::Interleaved;
    const auto a = static_cast<std::size_t>(interleaved ? 2 * pair : pair);
    const auto b = static_cast<std::size_t>(interleaved ? 2 * pair + 1 : pair + pairs_);
    const float x = head[a];
    const float y = head[b];
    head[a] = x * cosine_[index] - y * sine_[index];
    head[b] = x * sine_[index] + y * cosine_[index];
  }
}

float OnlineSoftmax::exponentiate(std::span<float> scores) {
  block_maximum_ = *std::max_element(scores.begin(), scores.end());
  float sum = 0;
  for (float& score : scores) {
    score = special::exp(score - block_maximum_);
    sum += score;
  }
  return sum;
}

void OnlineSoftmax::merge(float block_sum) {
  if (is_empty_) {
    is_empty_ = false;
    maximum_ = block_maximum_;
    total_ = block_sum;
    sums_ = block_;
    return;
  }
  const float maximum = std::max(maximum_, block_maximum_);
  const float keep = special::exp(maximum_ - maximum);
  const float join = special::exp(block_maximum_ - maximum);
  total_ = total_ * keep + block_sum * join;
  for (std::size_t d = 0; d < sums_.size(); ++d) sums_[d] = sums_[d] * keep + block_[d] * join;
  maximum_ = maximum;
}

void OnlineSoftmax::join(const OnlineSoftmax& part) {
  if (part.is_empty_) return;
  block_ = part.sums_;
  block_maximum_ = part.maximum_;
  merge(part.total_);
}

void OnlineSoftmax::finish(ElementType type, std::span<float> out) const {
  if (is_empty_) {
    std::fill(out.begin(), out.end(), 0.0F);
    return;
  }
  const float scale = special::recip(total_);
  for (std::size_t d = 0; d < out.size(); ++d) out[d] = round_to(type, sums_[d] * scale);
}

}  // namespace tandem::gpu
