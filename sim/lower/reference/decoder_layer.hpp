// One layer of the reference model: x + mixer(norm(x)), then x + ffn(norm(x)).
#pragma once

#include <optional>
#include <variant>

#include "sim/lower/reference/attention_block.hpp"
#include "sim/lower/reference/delta_block.hpp"
#include "sim/lower/reference/feed_forward_block.hpp"
#include "sim/lower/reference/latent_block.hpp"

namespace tandem::reference {

/// The weights of a layer; what it remembers is in a LayerState. The residual stream is rounded
/// after each addition.
class DecoderLayer {
 public:
  DecoderLayer(const NeuralNetwork& network, const LayerKind& kind, const LayerTensors& tensors,
               const ops::Arithmetic& arithmetic);

  /// Takes `tokens` rows [tokens, hidden] of the residual stream through the layer, in place.
  void forward(std::span<float> rows, std::int64_t tokens, Forms forms, LayerState& state) const;
  /// Forgets all but the first `tokens` tokens. Throws ModelError where that needs a snapshot.
  void cut(LayerState& state, std::int64_t tokens) const;
  [[nodiscard]] const FeedForwardBlock& feed_forward() const { return ffn_; }
  /// True where going back needs a snapshot.
  [[nodiscard]] bool is_recurrent() const { return std::holds_alternative<DeltaBlock>(mixer_); }

 private:
  ops::Arithmetic arithmetic_;
  HiddenNorm norm_;
  std::variant<AttentionBlock, LatentBlock, DeltaBlock> mixer_;
  FeedForwardBlock ffn_;
  std::optional<HiddenNorm> mixer_post_norm_, ffn_post_norm_;
};

}  // namespace tandem::reference
