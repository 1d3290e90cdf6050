// KV of a request between the chips of a gang, each with its heads, and the whole of it.
#pragma once

#include <vector>

#include "sim/lower/batch.hpp"
#include "sim/lower/chip_model.hpp"
#include "sim/lower/sharding.hpp"

namespace tandem {

/// The heads that a rank holds of a block with all of them. Throws ModelError where chips share
/// cached tokens, which has no functional form yet.
[[nodiscard]] KvBlock heads_of_rank(const KvBlock& whole, const Shard& shard);

/// A block with all heads of the stage's layers from those of the ranks of one attention group;
/// heads that several hold are the first one's. Throws ModelError as heads_of_rank().
[[nodiscard]] KvBlock merged_heads(const Stage& stage, const std::vector<KvBlock>& blocks,
                                   const std::vector<Shard>& holders);

}  // namespace tandem
