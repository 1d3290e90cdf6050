#include "sim/numerics/ops/argmax.hpp"

#include <cmath>

#include "sim/core/diagnostics.hpp"

namespace tandem::ops {

std::int32_t argmax(std::span<const float> values) {
  if (values.empty()) {
    throw ModelError("argmax: no values to choose from");
  }
  std::size_t best = 0;
  for (std::size_t i = 1; i < values.size(); ++i) {
    if (values[i] > values[best] || (std::isnan(values[best]) && !std::isnan(values[i]))) {
      best = i;
    }
  }
  return static_cast<std::int32_t>(best);
}

}  // namespace tandem::ops
