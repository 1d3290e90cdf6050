// Reference operator: multi-head latent attention (DeepSeek-V2, arXiv 2405.04434) of one query
// token in its two equal forms, and its choice of keys by an indexer (DeepSeek-V3.2, DSA).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "sim/numerics/ops/attention.hpp"

namespace tandem::ops {

/// Widths of a latent attention. The cache holds per token the latent c [kv_rank] after its norm
/// and one key k_r [rope_dim] after rotation, shared by all heads.
struct LatentShape {
  std::int64_t heads = 0;
  std::int64_t query_rank = 0;  ///< 0: q comes straight from the hidden state
  std::int64_t kv_rank = 0;
  std::int64_t nope_dim = 0;   ///< part of a query and key head that does not rotate
  std::int64_t rope_dim = 0;   ///< part that does
  std::int64_t value_dim = 0;  ///< width of a value head
  double scale_factor = 1;  ///< times 1 / sqrt(nope_dim + rope_dim); YaRN models have more than 1
  [[nodiscard]] std::int64_t query_dim() const { return nope_dim + rope_dim; }
  [[nodiscard]] std::int64_t cached_elements() const { return kv_rank + rope_dim; }
  bool operator==(const LatentShape&) const = default;
};

/// Up-projections of keys and values: per head nope_dim rows, then value_dim rows, of kv_rank each
/// (wkv_b of deepseek-ai/DeepSeek-V3@9b4e978 inference/model.py).
using LatentUp = std::span<const float>;

/// Naive form: k_n and v of every cached token are made from its latent per head; score =
/// (q_n . k_n + q_r . k_r) scale; out[h] = sum p v. `q` is [heads, nope_dim + rope_dim] after
/// rotation, `out` [heads, value_dim]. `chosen`: the tokens that count; none: all. In a format,
/// k_n, v and softmax weights are rounded before they enter a product. Without tokens out is 0.
void latent_attention_naive(const LatentShape& shape, std::span<const float> q, LatentUp up,
                            const CacheRows& latent, const CacheRows& rope_keys,
                            std::span<const std::int32_t> chosen, const Arithmetic& arithmetic,
                            std::span<float> out);

/// Absorbed form: q~_h = W_uk,h^T q_n [kv_rank]; score = (q~_h . c + q_r . k_r) scale; z_h = sum p
/// c; out[h] = W_uv,h z_h. Equal to the naive form but for rounding; touches kv_rank + rope_dim
/// elements per cached token whatever the heads. In a format, q~, softmax weights and z are rounded
/// before they enter a product.
void latent_attention_absorbed(const LatentShape& shape, std::span<const float> q, LatentUp up,
                               const CacheRows& latent, const CacheRows& rope_keys,
                               std::span<const std::int32_t> chosen, const Arithmetic& arithmetic,
                               std::span<float> out);

/// The indexer of sparse attention (DeepSeek Sparse Attention).
struct IndexerShape {
  std::int64_t heads = 0;
  std::int64_t head_dim = 0;
  std::int64_t top_k = 0;
  bool operator==(const IndexerShape&) const = default;
};

/// score[t] = sum over heads j of weight[j] relu(q[j] . k[t]), in ascending order of j; q is
/// [heads, head_dim], one key per token. Scores stay float whatever the format: they only choose.
/// What makes q and k (the partial rotation, the Hadamard transform, their fp8 codes) and the
/// scales of the weights are the caller's. Source: DeepSeek-V3.2-Exp report, eq. 1.
[[nodiscard]] std::vector<float> index_scores(const IndexerShape& shape, std::span<const float> q,
                                              std::span<const float> head_weights,
                                              const CacheRows& keys, const Arithmetic& arithmetic);

/// The min(k, tokens) tokens of the largest scores, in ascending order of position; equal scores go
/// to the earlier token.
[[nodiscard]] std::vector<std::int32_t> choose_top(std::span<const float> scores, std::int64_t k);

}  // namespace tandem::ops
