// The plain forward pass of a dense decoder with the reference operators, in float: what every
// functional run is compared with. No chip, no time, no batch.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "sim/lower/dense_weights.hpp"

namespace tandem {

/// One sequence through the whole model, token by token, with its KV cache inside.
class ReferenceModel {
 public:
  /// Keeps a reference: `weights` must outlive the model. All tensors must be float32.
  explicit ReferenceModel(const Weights& weights);

  /// Runs `token` at `position` and returns the logits [vocabulary] of what follows. `position` is
  /// at most the number of tokens in the cache; what the cache holds from there on is dropped.
  /// Throws ModelError for a token outside the vocabulary, a gap, or a position past max_context.
  Tensor forward(std::int32_t token, std::int64_t position);

  /// Tokens in the cache.
  [[nodiscard]] std::int64_t tokens() const { return tokens_; }
  /// K after RoPE and V of one layer, [token][kv_head][head_dim].
  [[nodiscard]] std::span<const float> k(std::int64_t layer) const;
  [[nodiscard]] std::span<const float> v(std::int64_t layer) const;

 private:
  struct LayerCache {
    std::vector<float> k, v;
  };
  void attend(const DenseLayerWeights& layer, LayerCache& cache, std::int64_t position);
  void feed_forward(const DenseLayerWeights& layer);
  void rotate(std::span<float> heads, std::int64_t position) const;

  DenseWeights weights_;
  std::vector<float> frequencies_;
  std::vector<LayerCache> caches_;
  std::vector<float> hidden_;
  std::int64_t tokens_ = 0;
};

}  // namespace tandem
