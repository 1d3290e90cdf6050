// What a request left on a GPU, to and from the layout in which chips exchange it.
#pragma once

#include "models/gpu/request_cache.hpp"
#include "sim/lower/chip_model.hpp"

namespace tandem::gpu {

/// `network` is as the chip has it. Throws ModelError where its layers keep anything but keys and
/// values, or latents, of one shape: states and indexers' keys do not move between chips yet.
[[nodiscard]] KvBlock to_block(const Stage& stage, const NeuralNetwork& network,
                               const RequestCache& cache);

/// Throws ModelError when the block is of another type or shape than the stage's KV.
[[nodiscard]] RequestCache from_block(const Stage& stage, const NeuralNetwork& network,
                                      const KvBlock& block);

}  // namespace tandem::gpu
