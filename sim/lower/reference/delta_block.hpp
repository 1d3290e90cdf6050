// Gated DeltaNet of the reference model: projections, convolution, gates, state, output norm.
#pragma once

#include "sim/lower/reference/layer_state.hpp"
#include "sim/lower/reference/layer_tensors.hpp"

namespace tandem::reference {

/// One layer's gated delta rule (huggingface/transformers modular_qwen3_next.py,
/// Qwen3NextGatedDeltaNet). Rows of "delta.qkv" and channels of "delta.conv" are q, k and v side by
/// side, each by head. In a format, projections, the convolution and the rule's output are rounded;
/// the rule itself and its state stay float.
class DeltaBlock {
 public:
  DeltaBlock(const NeuralNetwork& network, const GatedDelta& delta, const LayerTensors& tensors,
             const ops::Arithmetic& arithmetic);

  /// Mixes `tokens` normed rows [tokens, hidden] that follow those of the state.
  void forward(std::span<const float> x, std::int64_t tokens, Forms forms, LayerState& state,
               std::span<float> out) const;
  /// Only to where the state stands, or to the beginning. Throws ModelError: the state of a
  /// recurrence does not go back, a snapshot does.
  void cut(LayerState& state, std::int64_t tokens) const;

 private:
  /// What the rule takes of all tokens of a call.
  struct Inputs {
    std::vector<float> q, k, v, log_decay, beta;
  };
  void append(std::span<const float> x, LayerState& state, Inputs& inputs) const;

  ops::GatedDeltaShape shape_;
  float epsilon_;
  ops::Arithmetic arithmetic_;
  std::span<const float> qkv_, z_, b_, a_, conv_, a_log_, dt_bias_, norm_, output_;
};

}  // namespace tandem::reference
