#include "sim/numerics/ops/gate.hpp"

#include <cassert>

#include "sim/numerics/ops/activation.hpp"
#include "sim/numerics/special.hpp"

namespace tandem::ops {

void sigmoid_gate(std::span<float> values, std::span<const float> gate) {
  assert(values.size() == gate.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] *= sigmoid(gate[i]);
  }
}

void sigmoid_gate(std::span<float> values, float logit) {
  scale(values, sigmoid(logit));
}

void softcap(std::span<float> values, float cap) {
  if (cap == 0.0F) {
    return;
  }
  for (float& value : values) {
    value = cap * special::tanh(value / cap);
  }
}

void scale(std::span<float> values, float factor) {
  for (float& value : values) {
    value *= factor;
  }
}

}  // namespace tandem::ops
