#include "sim/numerics/ops/softmax.hpp"

#include <algorithm>
#include <limits>

#include "sim/numerics/special.hpp"

namespace tandem::ops {
namespace {

/// e^(value - largest), where infinity less infinity counts as 0.
float weight_of(float value, float largest) {
  return value == largest ? 1.0F : special::exp(value - largest);
}

}  // namespace

void softmax(std::span<float> values) {
  softmax_with_sink(values, -std::numeric_limits<float>::infinity());
}

void softmax_with_sink(std::span<float> values, float sink) {
  if (values.empty()) {
    return;
  }
  const bool has_sink = sink != -std::numeric_limits<float>::infinity();
  float largest = *std::max_element(values.begin(), values.end());
  if (has_sink && !(sink <= largest)) {
    largest = sink;
  }
  float sum = 0.0F;
  for (float& value : values) {
    value = weight_of(value, largest);
    sum += value;
  }
  if (has_sink) {
    sum += weight_of(sink, largest);
  }
  for (float& value : values) {
    value /= sum;
  }
}

}  // namespace tandem::ops
