// Reference operator: causal attention of one query token over a KV cache, with grouped queries
// (Ainslie et al., GQA, EMNLP 2023).
#pragma once

#include <cstdint>
#include <span>

namespace tandem::ops {

/// Head counts and width of a grouped-query attention; heads is a multiple of kv_heads.
struct AttentionShape {
  std::int64_t heads = 0;
  std::int64_t kv_heads = 0;
  std::int64_t head_dim = 0;
};

/// For each head h with KV head h / (heads / kv_heads):
/// out[h] = sum over t of softmax_t(q[h] . k[t] / sqrt(head_dim)) v[t], over the keys given: the
/// query's own token is the last of them, which makes it causal. Order of sums as llama2.c run.c.
/// q and out are [heads, head_dim]; k and v are [tokens, kv_heads, head_dim].
void attention(const AttentionShape& shape, std::span<const float> q, std::span<const float> k,
               std::span<const float> v, std::span<float> out);

}  // namespace tandem::ops
