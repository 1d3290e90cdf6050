#include "sim/lower/reference/decoder_layer.hpp"

#include "sim/numerics/ops/residual.hpp"

namespace tandem::reference {
namespace {

using MixerBlock = std::variant<AttentionBlock, LatentBlock, DeltaBlock>;

MixerBlock mixer_of(const NeuralNetwork& network, const Mixer& mixer, const LayerTensors& tensors,
                    const ops::Arithmetic& arithmetic) {
  if (const auto* attention = std::get_if<GroupedAttention>(&mixer)) {
    return AttentionBlock(network, *attention, tensors, arithmetic);
  }
  if (const auto* latent = std::get_if<LatentAttention>(&mixer)) {
    return LatentBlock(network, *latent, tensors, arithmetic);
  }
  return DeltaBlock(network, std::get<GatedDelta>(mixer), tensors, arithmetic);
}

}  // namespace

DecoderLayer::DecoderLayer(const NeuralNetwork& network, const LayerKind& kind,
                           const LayerTensors& tensors, const ops::Arithmetic& arithmetic)
    : arithmetic_(arithmetic),
      norm_(network.norm, tensors, "attention_norm"),
      mixer_(mixer_of(network, kind.mixer, tensors, arithmetic)),
      ffn_(network, kind.ffn, tensors, arithmetic) {
  if (!kind.post_norms) return;
  mixer_post_norm_.emplace(network.norm, tensors, "attention_post_norm");
  ffn_post_norm_.emplace(network.norm, tensors, "ffn_post_norm");
}

void DecoderLayer::cut(LayerState& state, std::int64_t tokens) const {
  std::visit([&](const auto& block) { block.cut(state, tokens); }, mixer_);
}

void DecoderLayer::forward(std::span<float> rows, std::int64_t tokens, Forms forms,
                           LayerState& state) const {
  const auto hidden = static_cast<std::int64_t>(rows.size()) / tokens;
  std::vector<float> normed(rows.size());
  std::vector<float> mixed(rows.size());
  const auto add = [&](std::int64_t t, std::span<float> delta,
                       const std::optional<HiddenNorm>& norm) {
    if (norm) norm->apply(delta, arithmetic_, delta);
    const auto row = row_of(rows, t, hidden);
    ops::residual(row, delta);
    arithmetic_.round(row);
  };
  for (std::int64_t t = 0; t < tokens; ++t) {
    norm_.apply(row_of(rows, t, hidden), arithmetic_, row_of(std::span(normed), t, hidden));
  }
  std::visit([&](const auto& block) { block.forward(normed, tokens, forms, state, mixed); },
             mixer_);
  for (std::int64_t t = 0; t < tokens; ++t) {
    const auto delta = row_of(std::span(mixed), t, hidden);
    add(t, delta, mixer_post_norm_);
    ffn_.forward(row_of(rows, t, hidden), delta);
    add(t, delta, ffn_post_norm_);
  }
}

}  // namespace tandem::reference
