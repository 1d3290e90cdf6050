#include "sim/numerics/ops/arithmetic.hpp"

#include "sim/numerics/dot.hpp"

namespace tandem::ops {

float Arithmetic::dot(std::span<const float> a, std::span<const float> b) const {
  return type == ElementType::Float32 ? dot_float32(a, b) : dot_wide(a, b);
}

void Arithmetic::round(std::span<float> values) const {
  if (type == ElementType::Float32) {
    return;
  }
  for (float& value : values) {
    value = round_to(type, value);
  }
}

}  // namespace tandem::ops
