// Grouped-query attention of the reference model: projections, norms, rotation, cache, gate.
#pragma once

#include "sim/lower/reference/layer_state.hpp"
#include "sim/lower/reference/layer_tensors.hpp"

namespace tandem::reference {

/// One layer's attention. Rows of "attention.query" of layers with an output gate stand per head:
/// head_dim rows of q, then head_dim rows of the gate (huggingface/transformers
/// modular_qwen3_next.py, Qwen3NextAttention).
///
/// Order of steps: q, k, v = W x (+ bias); v = k as projected where keys are values; norms of q, k
/// and v; rotation of q and k; softmax (window, sink, cap); out * sigmoid(gate); W_o (+ bias).
class AttentionBlock {
 public:
  AttentionBlock(const NeuralNetwork& network, const GroupedAttention& attention,
                 const LayerTensors& tensors, const ops::Arithmetic& arithmetic);

  /// Mixes `tokens` normed rows [tokens, hidden] that follow those of the state.
  void forward(std::span<const float> x, std::int64_t tokens, Forms forms, LayerState& state,
               std::span<float> out) const;
  /// Forgets all but the first `tokens` tokens.
  void cut(LayerState& state, std::int64_t tokens) const;

 private:
  void step(std::span<const float> x, LayerState& state, std::span<float> out) const;
  void make_query(std::span<const float> x, std::vector<float>& q, std::vector<float>& gate) const;
  void make_key_and_value(std::span<const float> x, std::span<float> k, std::span<float> v) const;
  void normalise(std::span<const float> weight, std::span<float> heads) const;
  void rotate(std::span<float> heads, std::int64_t position) const;

  GroupedAttention attention_;
  Norm norm_;
  ops::Arithmetic arithmetic_;
  std::vector<float> frequencies_;
  std::span<const float> query_, query_bias_, key_, key_bias_, value_, value_bias_;
  std::span<const float> query_norm_, key_norm_, sinks_, output_, output_bias_;
};

}  // namespace tandem::reference
