#include "sim/numerics/ops/attention.hpp"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <vector>

#include "sim/numerics/ops/softmax.hpp"
#include "sim/numerics/special.hpp"

namespace tandem::ops {
namespace {

/// Turns dot products into scores: scale, then cap.
class Scorer {
 public:
  explicit Scorer(const AttentionShape& shape)
      : scale_(static_cast<float>(shape.scale)),
        divisor_(std::sqrt(static_cast<float>(shape.head_dim))),
        cap_(static_cast<float>(shape.softcap)) {}
  [[nodiscard]] float score(float product) const {
    // A division, not a product with the reciprocal: the order of llama2.c run.c forward().
    const float score = scale_ == 0 ? product / divisor_ : product * scale_;
    return cap_ == 0 ? score : cap_ * special::tanh(score / cap_);
  }

 private:
  float scale_;
  float divisor_;
  float cap_;
};

}  // namespace

void attention(const AttentionShape& shape, std::span<const float> q, std::span<const float> k,
               std::span<const float> v, std::span<float> out) {
  const std::int64_t stride = shape.kv_heads * shape.head_dim;
  assert(k.size() == v.size() && k.size() % static_cast<std::size_t>(stride) == 0);
  const std::int64_t tokens = static_cast<std::int64_t>(k.size()) / stride;
  attention(shape, q, {k, stride, tokens}, {v, stride, tokens}, {}, {}, out);
}

void attention(const AttentionShape& shape, std::span<const float> q, const CacheRows& k,
               const CacheRows& v, std::span<const float> sinks, const Arithmetic& arithmetic,
               std::span<float> out) {
  const auto heads = static_cast<std::size_t>(shape.heads);
  const auto width = static_cast<std::size_t>(shape.head_dim);
  const std::size_t group = heads / static_cast<std::size_t>(shape.kv_heads);
  assert(shape.heads % shape.kv_heads == 0 && k.tokens == v.tokens);
  assert(q.size() == heads * width && out.size() == q.size());
  assert(sinks.empty() || sinks.size() == heads);
  const Scorer scorer(shape);
  const std::int64_t hidden = shape.window > 0 ? k.tokens - shape.window : 0;
  const auto first = static_cast<std::size_t>(std::max<std::int64_t>(hidden, 0));
  std::vector<float> weights(static_cast<std::size_t>(k.tokens) - first);
  if (weights.empty()) {
    std::fill(out.begin(), out.end(), 0.0F);
    return;
  }
  const auto stride = static_cast<std::size_t>(k.stride);
  for (std::size_t head = 0; head < heads; ++head) {
    const std::size_t column = head / group * width;
    const auto query = q.subspan(head * width, width);
    const auto keys = k.data.subspan(first * stride + column);
    for (std::size_t t = 0; t < weights.size(); ++t) {
      weights[t] = scorer.score(arithmetic.dot(query, keys.subspan(t * stride, width)));
    }
    if (sinks.empty()) {
      softmax(weights);
    } else {
      softmax_with_sink(weights, sinks[head]);
    }
    arithmetic.round(weights);
    const auto values = v.data.subspan(first * static_cast<std::size_t>(v.stride) + column);
    arithmetic.weighted_sum(weights, values, v.stride, out.subspan(head * width, width));
  }
}

}  // namespace tandem::ops
