// The gated delta rule as flash-linear-attention runs it (fla-org/flash-linear-attention@bc3b101d
// fla/ops/gated_delta_rule, and its copies in SGLang, vLLM and TensorRT-LLM).
#pragma once

#include "models/gpu/plan.hpp"

namespace tandem::gpu {

/// Recurrent: one kernel, a warp per head and eight columns of the state. Chunked: seven kernels
/// (sums of the gates, K K^T, inverse of its 16 x 16 blocks, merge of the blocks, W and U, the
/// states chunk after chunk, outputs).
[[nodiscard]] KernelPlan plan_delta(const GpuParams& params, const Kernel& kernel,
                                    const GatedDeltaKernel& shape);

}  // namespace tandem::gpu
