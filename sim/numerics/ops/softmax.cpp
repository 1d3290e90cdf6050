#include "sim/numerics/ops/softmax.hpp"

#include <algorithm>

#include "sim/numerics/special.hpp"

namespace tandem::ops {

void softmax(std::span<float> values) {
  if (values.empty()) {
    return;
  }
  const float largest = *std::max_element(values.begin(), values.end());
  float sum = 0.0F;
  for (float& value : values) {
    value = special::exp(value - largest);
    sum += value;
  }
  for (float& value : values) {
    value /= sum;
  }
}

}  // namespace tandem::ops
