// What one rank of a tensor-parallel gang holds of a stage: its heads, its columns of the
// feed-forward network, its rows of the head. Everything behind the split (layout, schedule, image)
// sees a smaller network and knows nothing of the others.
#pragma once

#include "sim/lower/batch.hpp"
#include "sim/lower/weights.hpp"

namespace tandem::lpu {

/// The stage of one rank. All ranks get the same shape, so that one schedule serves them:
///  - heads / ranks query heads in order; kv_heads / ranks of them, or one that ranks / kv_heads
///    neighbouring ranks hold each
///  - heads / ranks heads of latent attention; its down-projections and its cache are whole on
///  every
///    rank, as every head needs all of them
///  - key_heads / ranks key heads of Gated DeltaNet with their value heads
///  - ceil(intermediate / ranks) columns of the feed-forward network; the last ranks may hold
///    fewer, padded with zeros
///  - ceil(rows / ranks) rows of the head; the last ranks' slices may overlap the ones before
/// The hidden state is whole on every rank. Throws ModelError where heads do not divide.
[[nodiscard]] Stage rank_stage(const Stage& stage, int ranks, int rank);

/// The weights of that stage: tensors cut and padded, the others as they are.
[[nodiscard]] Weights rank_weights(const Weights& weights, int ranks, int rank);

}  // namespace tandem::lpu
