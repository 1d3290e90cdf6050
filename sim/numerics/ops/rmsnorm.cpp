#include "sim/numerics/ops/rmsnorm.hpp"

#include <cassert>
#include <cmath>

namespace tandem::ops {
namespace {

/// 1 / sqrt(mean(x^2) + epsilon).
float inverse_rms(std::span<const float> x, float epsilon) {
  float squares = 0.0F;
  for (const float value : x) {
    squares += value * value;
  }
  const float mean = squares / static_cast<float>(x.size());
  return 1.0F / std::sqrt(mean + epsilon);
}

}  // namespace

void rmsnorm(std::span<const float> x, std::span<const float> weight, float epsilon,
             std::span<float> out) {
  assert(x.size() == weight.size() && x.size() == out.size());
  const float scale = inverse_rms(x, epsilon);
  for (std::size_t i = 0; i < x.size(); ++i) {
    out[i] = weight[i] * (scale * x[i]);
  }
}

void rmsnorm_one_plus(std::span<const float> x, std::span<const float> weight, float epsilon,
                      std::span<float> out) {
  assert(x.size() == weight.size() && x.size() == out.size());
  const float scale = inverse_rms(x, epsilon);
  for (std::size_t i = 0; i < x.size(); ++i) {
    out[i] = (1.0F + weight[i]) * (scale * x[i]);
  }
}

void rmsnorm_unweighted(std::span<const float> x, float epsilon, std::span<float> out) {
  assert(x.size() == out.size());
  const float scale = inverse_rms(x, epsilon);
  for (std::size_t i = 0; i < x.size(); ++i) {
    out[i] = scale * x[i];
  }
}

void rmsnorm_heads(std::span<float> heads, std::int64_t head_dim, std::span<const float> weight,
                   float epsilon, bool one_plus) {
  const auto width = static_cast<std::size_t>(head_dim);
  assert(width > 0 && heads.size() % width == 0);
  for (std::size_t at = 0; at < heads.size(); at += width) {
    const auto head = heads.subspan(at, width);
    if (one_plus) {
      rmsnorm_one_plus(head, weight, epsilon, head);
    } else {
      rmsnorm(head, weight, epsilon, head);
    }
  }
}

}  // namespace tandem::ops
