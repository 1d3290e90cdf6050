// KV of one request on a GPU, and its conversion to and from the layout in which chips exchange it.
#pragma once

#include <vector>

#include "models/gpu/tracked_rows.hpp"
#include "sim/lower/chip_model.hpp"

namespace tandem::gpu {

/// Per layer of the stage keys and values, one row of kv_heads * head_dim per token, already
/// rounded to the stage's KV type.
struct RequestKv {
  std::vector<TrackedRows> keys;
  std::vector<TrackedRows> values;
};

[[nodiscard]] KvBlock to_block(const Stage& stage, const RequestKv& kv);

/// Throws ModelError when the block is of another type or shape than the stage's KV.
[[nodiscard]] RequestKv from_block(const Stage& stage, const KvBlock& block);

}  // namespace tandem::gpu
