// Reference operator: attention of one query token over a KV cache, with grouped queries (Ainslie
// et al., GQA, EMNLP 2023), windows, sinks and soft caps.
#pragma once

#include <cstdint>
#include <span>

#include "sim/numerics/ops/arithmetic.hpp"

namespace tandem::ops {

/// Head counts and width of a grouped-query attention; heads is a multiple of kv_heads.
struct AttentionShape {
  std::int64_t heads = 0;
  std::int64_t kv_heads = 0;
  std::int64_t head_dim = 0;
  std::int64_t window = 0;  ///< a query sees its own key and the window - 1 before; 0: all
  double scale = 0;         ///< of the scores; 0: 1 / sqrt(head_dim)
  double softcap = 0;       ///< c: score -> c tanh(score / c) (Gemma 2); 0: none
  bool operator==(const AttentionShape&) const = default;
};

/// Rows of a cache: token t's heads begin at data[t * stride].
struct CacheRows {
  std::span<const float> data;
  std::int64_t stride = 0;
  std::int64_t tokens = 0;
};

/// For each head h with KV head h / (heads / kv_heads):
/// out[h] = sum over t of softmax_t(q[h] . k[t] / sqrt(head_dim)) v[t], over the keys given: the
/// query's own token is the last of them, which makes it causal. Order of sums as llama2.c run.c.
/// q and out are [heads, head_dim]; k and v are [tokens, kv_heads, head_dim].
void attention(const AttentionShape& shape, std::span<const float> q, std::span<const float> k,
               std::span<const float> v, std::span<float> out);

/// The same over strided caches, in a format, with a learned sink logit per head (none: empty),
/// which takes its share of the softmax and adds nothing: p_t = e^(a_t - m) / (sum e^(a - m) +
/// e^(sink - m)), m over both (openai/gpt-oss gpt_oss/torch/model.py sdpa()). Softmax weights are
/// rounded to the format before the product with V. `k` and `v` hold equally many tokens and may
/// have different strides. The soft cap follows the scale and precedes the sink (Gemma 2:
/// google-deepmind/gemma@7691fd4 gm/nn/_modules.py). Without tokens the result is 0.
void attention(const AttentionShape& shape, std::span<const float> q, const CacheRows& k,
               const CacheRows& v, std::span<const float> sinks, const Arithmetic& arithmetic,
               std::span<float> out);

}  // namespace tandem::ops
