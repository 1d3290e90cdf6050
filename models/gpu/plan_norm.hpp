// Norms whose threads load one narrow element at a time: a CTA per row walks it twice.
#pragma once

#include "models/gpu/plan.hpp"

namespace tandem::gpu {

/// The first walk sums squares, the second one scales and stores. A thread waits for each of its
/// loads: memory-level parallelism, not bandwidth, decides (params.norm_access bytes per thread).
[[nodiscard]] KernelPlan plan_narrow_norm(const GpuParams& params, const Kernel& kernel,
                                          const NormKernel& norm);

}  // namespace tandem::gpu
