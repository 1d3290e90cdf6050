#include "sim/numerics/ops/arithmetic.hpp"

#include <algorithm>
#include <cassert>
#include <vector>

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

void Arithmetic::weighted_sum(std::span<const float> weights, std::span<const float> rows,
                              std::int64_t stride, std::span<float> out) const {
  const auto step = static_cast<std::size_t>(stride);
  assert(weights.empty() || rows.size() >= (weights.size() - 1) * step + out.size());
  if (type == ElementType::Float32) {
    // Row by row for the cache's sake; each element still sums in ascending order of t.
    std::fill(out.begin(), out.end(), 0.0F);
    for (std::size_t t = 0; t < weights.size(); ++t) {
      for (std::size_t i = 0; i < out.size(); ++i) {
        out[i] += weights[t] * rows[t * step + i];
      }
    }
    return;
  }
  std::vector<float> column(weights.size());
  for (std::size_t i = 0; i < out.size(); ++i) {
    for (std::size_t t = 0; t < weights.size(); ++t) {
      column[t] = rows[t * step + i];
    }
    out[i] = round_to(type, dot_wide(weights, column));
  }
}

}  // namespace tandem::ops
