// Kernels that stream rows through the SMs: embedding, norms, rotary embedding, activation,
// sampling.
#pragma once

#include "models/gpu/plan.hpp"

namespace tandem::gpu {

/// The plan of any kernel that is neither a GEMM nor attention. Work and bytes come from work_of
/// and are dealt out evenly, so the sums are exact.
[[nodiscard]] KernelPlan plan_stream(const GpuParams& params, const Kernel& kernel);

}  // namespace tandem::gpu
