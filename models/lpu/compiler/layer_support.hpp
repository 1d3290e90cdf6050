// Which layers the compiler takes.
#pragma once

#include <string>

#include "sim/lower/batch.hpp"

namespace tandem::lpu {

/// What keeps a layer of this kind from being compiled ("latent attention", ...); empty: nothing.
[[nodiscard]] std::string beyond_compiler(const NeuralNetwork& network, const LayerKind& kind);

/// Whether a stage's layers are feed-forward halves alone: no KV, no states, so positions and
/// requests make no difference and any tokens may share a pass.
[[nodiscard]] bool only_feeds_forward(const Stage& stage);

/// Throws ModelError that names the network and what it has where a layer of the stage, or what all
/// layers of a stage must share, is beyond the compiler.
void check_supported(const Stage& stage);

}  // namespace tandem::lpu
