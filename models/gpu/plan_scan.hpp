// Mamba-2's state-space scan as state-spaces/mamba runs it (mamba_ssm/ops/triton/ssd_combined.py
// and its copies in vLLM and TensorRT-LLM).
#pragma once

#include "models/gpu/plan.hpp"

namespace tandem::gpu {

/// Five kernels: sums of the decays, states of the chunks, their recurrence, C B^T, outputs.
[[nodiscard]] KernelPlan plan_scan(const GpuParams& params, const Kernel& kernel,
                                   const StateSpaceScanKernel& shape);

}  // namespace tandem::gpu
