// The second half of a reference layer: a dense block, experts, or both side by side.
#pragma once

#include <optional>

#include "sim/lower/reference/layer_tensors.hpp"
#include "sim/numerics/ops/expert_mix.hpp"

namespace tandem::reference {

/// One layer's feed-forward half with the norms inside it, but for the last (ffn_post_norm).
///
/// Where a dense block and experts stand side by side (google Gemma 4; huggingface/transformers
/// modeling_gemma4.py, ml-explore/mlx-lm mlx_lm/models/gemma4_text.py, DecoderLayer): ffn.post_norm
/// (dense(ffn_norm(x))) + experts.post_norm(experts(experts.norm(x))), and the router sees x itself
/// through its own norm. Router logits are never rounded to a format: they choose.
class FeedForwardBlock {
 public:
  FeedForwardBlock(const NeuralNetwork& network, const FeedForward& ffn,
                   const LayerTensors& tensors, const ops::Arithmetic& arithmetic);

  /// out = what the half adds to the residual stream `x` (before ffn_post_norm).
  void forward(std::span<const float> x, std::span<float> out) const;
  /// The experts that a token with residual stream `x` goes to; none in dense layers.
  [[nodiscard]] std::vector<ops::Route> routes_of(std::span<const float> x) const;

 private:
  [[nodiscard]] std::vector<ops::Route> choose(std::span<const float> x,
                                               std::span<const float> normed) const;
  void mix_experts(std::span<const float> x, std::span<const float> normed,
                   std::span<float> out) const;
  void add_experts(const LayerTensors& tensors);
  [[nodiscard]] bool is_dense() const { return ffn_.intermediate > 0; }
  [[nodiscard]] const HiddenNorm& experts_input_norm() const {
    return experts_norm_ ? *experts_norm_ : norm_;
  }

  FeedForward ffn_;
  double epsilon_;
  ops::Arithmetic arithmetic_;
  ops::ActivationKind activation_;
  HiddenNorm norm_;
  ops::FfnWeights dense_;
  std::vector<ops::FfnWeights> experts_;
  ops::SharedExpert shared_;
  std::span<const float> router_, router_bias_, router_norm_, expert_scale_;
  std::optional<HiddenNorm> dense_post_norm_, experts_norm_, experts_post_norm_;
};

}  // namespace tandem::reference
