#include "sim/numerics/ops/rmsnorm.hpp"

#include <cassert>
#include <cmath>

namespace tandem::ops {

void rmsnorm(std::span<const float> x, std::span<const float> weight, float epsilon,
             std::span<float> out) {
  assert(x.size() == weight.size() && x.size() == out.size());
  float squares = 0.0F;
  for (const float value : x) {
    squares += value * value;
  }
  const float mean = squares / static_cast<float>(x.size());
  const float scale = 1.0F / std::sqrt(mean + epsilon);
  for (std::size_t i = 0; i < x.size(); ++i) {
    out[i] = weight[i] * (scale * x[i]);
  }
}

}  // namespace tandem::ops
