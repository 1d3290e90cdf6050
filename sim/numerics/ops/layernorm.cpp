#include "sim/numerics/ops/layernorm.hpp"

#include <cassert>
#include <cmath>

namespace tandem::ops {

void layernorm(std::span<const float> x, std::span<const float> weight, std::span<const float> bias,
               float epsilon, std::span<float> out) {
  assert(x.size() == weight.size() && x.size() == out.size());
  assert(bias.empty() || bias.size() == x.size());
  float sum = 0.0F;
  for (const float value : x) {
    sum += value;
  }
  const float mean = sum / static_cast<float>(x.size());
  float squares = 0.0F;
  for (const float value : x) {
    squares += (value - mean) * (value - mean);
  }
  const float variance = squares / static_cast<float>(x.size());
  const float scale = 1.0F / std::sqrt(variance + epsilon);
  for (std::size_t i = 0; i < x.size(); ++i) {
    out[i] = (x[i] - mean) * scale * weight[i] + (bias.empty() ? 0.0F : bias[i]);
  }
}

}  // namespace tandem::ops
