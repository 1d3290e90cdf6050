// Parts of a network's layers, from their sections. All complaints go to the context; a part that
// failed comes out as far as it could be read.
#pragma once

#include "sim/config/map_reader.hpp"
#include "sim/describe/neural_network.hpp"

namespace tandem::config {

/// Attention over all tokens. `rope`: the section for its heads; null: no rotation.
[[nodiscard]] GroupedAttention build_attention(const Tree& tree, const Tree* rope,
                                               ReadContext& context);
/// Attention over a window: what `tree` leaves out stands in `attention`, if there is one, and in
/// `rope`.
[[nodiscard]] GroupedAttention build_sliding_attention(const Tree& tree, const Tree* attention,
                                                       const Tree* rope, ReadContext& context);
/// Latent attention; the softmax scale of YaRN comes from `rope`.
[[nodiscard]] LatentAttention build_latent_attention(const Tree& tree, const Tree& rope,
                                                     ReadContext& context);
[[nodiscard]] GatedDelta build_gated_delta(const Tree& tree, ReadContext& context);
/// The dense block, without its activation.
[[nodiscard]] FeedForward build_ffn(const Tree& tree, ReadContext& context);
[[nodiscard]] Experts build_experts(const Tree& tree, ReadContext& context);

}  // namespace tandem::config
