// What products of narrow formats add to a main loop: sums that are scaled block by block, weights
// that are widened before they are multiplied, and the tiles of the libraries that do so.
#pragma once

#include <vector>

#include "models/gpu/plan_gemm.hpp"

namespace tandem::gpu {

/// A tile height and width.
struct TileShape {
  std::int64_t m = 0, n = 0;
};

/// Sums are scaled on CUDA cores after every 128 elements of K: scales in float per group, on
/// tensor units that know no block scales (those that have no fp4).
[[nodiscard]] bool promotes_sums(const GpuParams& params, const GemmKernel& gemm);

/// Whether a library multiplies so few rows as vectors, whose threads share a column: weight-only
/// formats below 16 rows (weightOnlyBatchedGemv), int8 up to 4 (int8SQ; NVIDIA/TensorRT-LLM
/// cpp/tensorrt_llm/kernels).
[[nodiscard]] bool multiplies_vectors(const GpuParams& params, const GemmKernel& gemm);

/// Whether libraries divide the sums of a product among CTAs along K: cuBLAS does for plain types
/// and fp8 per tensor, kernels for vectors do; the CUTLASS and DeepGEMM kernels of other narrow
/// formats run without split-K.
[[nodiscard]] bool splits_sums(const GpuParams& params, const GemmKernel& gemm);

/// Stage handoffs per K slice: sums that are promoted wait for their instructions, the scales and
/// their own sums before the next slice starts.
[[nodiscard]] std::int64_t handoffs_per_slice(const GpuParams& params, const GemmKernel& gemm);

/// Promotion holds the tensor work of its CTA up, unless warpgroups take turns.
[[nodiscard]] VectorWork promotion_of(const GpuParams& params, const GemmKernel& gemm);

/// CUDA-core operations of `k` elements of the main loop of one tile: one multiply-add per sum and
/// block (deepseek-ai/DeepGEMM, two-level accumulation), and the conversion of weights narrower
/// than their inputs.
[[nodiscard]] Flops loop_operations(const GpuParams& params, const GemmKernel& gemm,
                                    const GemmTiling& tiling, std::int64_t k);

/// Tiles of block-scaled products: rows of 64 or 128 and columns up to one block of scales; with
/// fewer than 32 rows the roles are swapped (NVIDIA/TensorRT-LLM fp8_blockscale_gemm_kernel.cuh).
[[nodiscard]] std::vector<TileShape> block_scaled_tiles(std::int64_t rows);

}  // namespace tandem::gpu
