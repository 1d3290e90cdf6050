// What a request left on a GPU, to and from the layout in which chips exchange it.
#pragma once

#include "models/gpu/request_cache.hpp"
#include "sim/lower/chip_model.hpp"

namespace tandem::gpu {

/// `network` is as the chip has it. Throws ModelError as memory_of() does.
[[nodiscard]] KvBlock to_block(const Stage& stage, const NeuralNetwork& network,
                               const RequestCache& cache);

/// Throws ModelError when the block is of another type or shape than the stage's KV.
[[nodiscard]] RequestCache from_block(const Stage& stage, const NeuralNetwork& network,
                                      const KvBlock& block);

}  // namespace tandem::gpu
