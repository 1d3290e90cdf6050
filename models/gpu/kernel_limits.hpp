// What one kernel may ask of the chip and of its simulation. Checked before a plan allocates
// anything, in floating point, because the exact counts of such kernels do not fit 64 bits.
#pragma once

#include "models/gpu/plan.hpp"

namespace tandem::gpu {

/// Operations of one kernel: every count of a plan stays far below 2^63.
inline constexpr double most_operations = 0x1p60;
/// Tiles of operands of one kernel: a table entry of 32 bytes each, 2 GiB in all.
inline constexpr std::int64_t most_tiles = std::int64_t{1} << 26;
/// Turns of the main loops of all CTAs of one phase.
inline constexpr std::int64_t most_turns = std::int64_t{1} << 33;

/// Throws ModelError, with the limit, for a kernel whose operands or result are larger than the
/// chip's memory or that does more than most_operations.
void check_kernel(const GpuParams& params, const Kernel& kernel);

/// Throws ModelError, with the limit, for a plan of too many tiles or turns.
void check_plan(const Kernel& kernel, const KernelPlan& plan);

}  // namespace tandem::gpu
