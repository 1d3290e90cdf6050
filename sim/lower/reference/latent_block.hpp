// Multi-head latent attention of the reference model, naive and absorbed, dense and sparse.
#pragma once

#include "sim/lower/reference/layer_state.hpp"
#include "sim/lower/reference/layer_tensors.hpp"

namespace tandem::reference {

/// One layer's latent attention (deepseek-ai/DeepSeek-V3@9b4e978 inference/model.py, MLA). Rows of
/// "attention.kv_down" are kv_rank rows of the latent, then rope_dim rows of the shared key; rows
/// of "attention.query_up" stand per head, nope_dim before rope_dim.
///
/// The indexer (deepseek-ai/DeepSeek-V3.2-Exp inference/model.py, Indexer): its queries come from
/// the same latent as the attention's, its key is LayerNorm(W_k x) with epsilon 1e-6, both rotate
/// in their first rope_dim dimensions as halves, and head weights are scaled by 1 / sqrt(heads
/// head_dim). Its Hadamard transform is orthogonal and changes no score; fp8 codes are left out.
class LatentBlock {
 public:
  /// Throws ModelError where the rotation would reach past the heads or the indexer's keys, and for
  /// tensors that are missing.
  LatentBlock(const NeuralNetwork& network, const LatentAttention& attention,
              const LayerTensors& tensors, const ops::Arithmetic& arithmetic);

  /// Mixes `tokens` normed rows [tokens, hidden] that follow those of the state.
  void forward(std::span<const float> x, std::int64_t tokens, Forms forms, LayerState& state,
               std::span<float> out) const;
  /// Forgets all but the first `tokens` tokens.
  void cut(LayerState& state, std::int64_t tokens) const;

 private:
  void step(std::span<const float> x, Forms forms, LayerState& state, std::span<float> out) const;
  void make_query(std::span<const float> x, std::int64_t position, std::vector<float>& latent,
                  std::vector<float>& q) const;
  void make_cached(std::span<const float> x, LayerState& state) const;
  [[nodiscard]] std::vector<std::int32_t> choose(std::span<const float> x,
                                                 std::span<const float> latent,
                                                 LayerState& state) const;

  LatentAttention attention_;
  Norm norm_;
  ops::Arithmetic arithmetic_;
  std::vector<float> frequencies_;
  double magnitude_;
  std::span<const float> query_down_, query_norm_, query_up_, kv_down_, kv_norm_, kv_up_, output_;
  std::span<const float> index_query_, index_key_, index_norm_, index_norm_bias_, index_weights_;
};

}  // namespace tandem::reference
