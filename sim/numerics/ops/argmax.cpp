#include "sim/numerics/ops/argmax.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

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

std::vector<std::int32_t> largest(std::span<const float> values, std::int64_t k) {
  std::vector<std::int32_t> order(values.size());
  std::iota(order.begin(), order.end(), 0);
  const auto before = [&](std::int32_t left, std::int32_t right) {
    const float a = values[static_cast<std::size_t>(left)];
    const float b = values[static_cast<std::size_t>(right)];
    if (std::isnan(a) != std::isnan(b)) {
      return std::isnan(b);
    }
    return a > b || (!(a < b) && left < right);
  };
  const auto kept = std::clamp<std::int64_t>(k, 0, static_cast<std::int64_t>(values.size()));
  std::partial_sort(order.begin(), order.begin() + kept, order.end(), before);
  order.resize(static_cast<std::size_t>(kept));
  return order;
}

}  // namespace tandem::ops
