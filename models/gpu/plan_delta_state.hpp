// The state pass of the chunked gated delta rule: chunk after chunk, one CTA per sequence, value
// head and block of columns (chunk_gated_delta_rule_fwd_kernel_h).
#pragma once

#include "models/gpu/plan.hpp"

namespace tandem::gpu {

/// First tiles of what the pass reads and writes; one tile per chunk and value head (k: per key
/// head; states and new values: per block of output columns).
struct DeltaTiles {
  std::int64_t w = 0, k = 0, gates = 0, state = 0, new_value = 0, tiles = 0;
  std::int64_t rows = 64;  ///< tokens of a chunk, on average
};

/// Columns of the state that one CTA holds (BV): the smaller of the two that autotuning tries. It
/// tunes on the first call, and a short first call favours more CTAs.
inline constexpr std::int64_t state_columns = 32;
/// Columns of the outputs that one CTA of the next kernel holds (BV of chunk_fwd_o).
inline constexpr std::int64_t output_columns = 64;

/// `work`: the part of the kernel's totals that this pass does; its bytes are the states that enter
/// and leave.
[[nodiscard]] PlanPhase delta_state_phase(const GpuParams& params, const GatedDeltaKernel& shape,
                                          const KernelWork& work, const DeltaTiles& tiles);

}  // namespace tandem::gpu
