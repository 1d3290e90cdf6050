// Rows that enter a request's KV cache.
#pragma once

#include "models/gpu/execute/pass_state.hpp"

namespace tandem::gpu {

/// Appends the key and value of all of a token's KV heads: rounded to the stage's type, or stored
/// as slots, of which attention then reads what the codec gives back, rounded to that type.
void append_to_cache(const KernelCall& call, std::span<const float> key,
                     std::span<const float> value, LayerCache& cache, std::int64_t place);

}  // namespace tandem::gpu
