// Kernels around grouped products: CTAs that take rows sorted by expert one at a time.
#pragma once

#include "models/gpu/plan.hpp"

namespace tandem::gpu {

/// Rows of a dispatch or an activation as `walk` visits them; streamed where it names no grid. Rows
/// of padding are scales that stay in L2 and count as workspace.
[[nodiscard]] KernelPlan plan_walk(const GpuParams& params, const Kernel& kernel,
                                   const RowWalk& walk);

/// CTAs of a grid that find no rows: each reads how many there are and returns.
[[nodiscard]] PlanPhase idle_phase(std::int64_t ctas, std::int64_t ctas_per_sm);

}  // namespace tandem::gpu
