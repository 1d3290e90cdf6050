// Quantisation of activations as frameworks launch it: one pass where scales are known or belong to
// rows; clear, search and convert where one scale belongs to the whole tensor.
#pragma once

#include "models/gpu/plan.hpp"

namespace tandem::gpu {

/// Structure from NVIDIA/TensorRT-LLM cpp/tensorrt_llm/common/cudaFp8Utils.cu
/// (invokeComputeScalesAndQuantizeMatrix) and vllm-project/vllm csrc/quantization/fp8/common.cu:
/// each is a loop of loads per thread, so the threads of an SM times the bytes of an access bound
/// what is in flight; every CTA of a search ends with an atomic update of the same word.
[[nodiscard]] KernelPlan plan_quantise(const GpuParams& params, const Kernel& kernel,
                                       const QuantiseKernel& shape);

}  // namespace tandem::gpu
