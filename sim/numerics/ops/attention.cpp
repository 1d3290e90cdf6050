#include "sim/numerics/ops/attention.hpp"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <vector>

#include "sim/numerics/dot.hpp"
#include "sim/numerics/ops/softmax.hpp"

namespace tandem::ops {

void attention(const AttentionShape& shape, std::span<const float> q, std::span<const float> k,
               std::span<const float> v, std::span<float> out) {
  const auto heads = static_cast<std::size_t>(shape.heads);
  const auto width = static_cast<std::size_t>(shape.head_dim);
  const std::size_t kv_width = static_cast<std::size_t>(shape.kv_heads) * width;
  const std::size_t group = heads / static_cast<std::size_t>(shape.kv_heads);
  assert(q.size() == heads * width && out.size() == q.size());
  assert(k.size() == v.size() && k.size() % kv_width == 0);
  const float divisor = std::sqrt(static_cast<float>(width));
  std::vector<float> weights(k.size() / kv_width);
  for (std::size_t head = 0; head < heads; ++head) {
    const std::size_t column = head / group * width;
    for (std::size_t t = 0; t < weights.size(); ++t) {
      const auto key = k.subspan(t * kv_width + column, width);
      weights[t] = dot_float32(q.subspan(head * width, width), key) / divisor;
    }
    softmax(weights);
    const auto result = out.subspan(head * width, width);
    std::fill(result.begin(), result.end(), 0.0F);
    for (std::size_t t = 0; t < weights.size(); ++t) {
      for (std::size_t i = 0; i < width; ++i) {
        result[i] += weights[t] * v[t * kv_width + column + i];
      }
    }
  }
}

}  // namespace tandem::ops
