// Batched products: one grid over the tiles of all products of the batch.
#pragma once

#include "models/gpu/plan.hpp"

namespace tandem::gpu {

/// The plan of `batch` equal products without split-K, its tile chosen as for one product of
/// `batch` times the columns, which has as many tiles.
[[nodiscard]] KernelPlan plan_batched(const GpuParams& params, const BatchedGemmKernel& gemm);

}  // namespace tandem::gpu
