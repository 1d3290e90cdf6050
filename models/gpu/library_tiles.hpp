// Tiles that a serving framework's library runs whatever they cost: dispatch rules written into the
// library in place of a search.
#pragma once

#include <optional>

#include "models/gpu/plan_gemm.hpp"

namespace tandem::gpu {

/// The tiling of the framework's own kernels for products of this format on this kind of matrix
/// units; none: the library chooses from a menu. Rows are tokens, columns outputs, also where the
/// library swaps the operands. `stages` and `ctas_per_sm` are left to the caller.
[[nodiscard]] std::optional<GemmTiling> dispatched_tiling(const GpuParams& params,
                                                          const GemmKernel& gemm);

}  // namespace tandem::gpu
