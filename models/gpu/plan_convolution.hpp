// Short causal convolutions as serving frameworks run them: Dao-AILab/causal-conv1d csrc, as in
// NVIDIA/TensorRT-LLM cpp/tensorrt_llm/kernels/causalConv1d.
#pragma once

#include "models/gpu/plan.hpp"

namespace tandem::gpu {

/// Prompts: a CTA per sequence and channel walks along time. Single tokens: a CTA per sequence and
/// 64 channels updates the rolling state.
[[nodiscard]] KernelPlan plan_convolution(const GpuParams& params, const Kernel& kernel,
                                          const ShortConvolutionKernel& shape);

}  // namespace tandem::gpu
