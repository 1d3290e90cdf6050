// Numbers inside the model that act on time, are the same on every chip, and were fitted to
// measurements or estimated. `tandem describe CHIP --fitted` lists them beside the chip's own.
// Numbers read in a source (PTX ISA, a library's code) stay where they are used, with the citation.
#pragma once

#include <cstdint>

#include "sim/describe/parameter.hpp"

namespace tandem::gpu::shared {

/// Share of issue slots that code with dependent instructions and barriers fills: convolution and
/// element-wise delta kernels. Fitted to Gated DeltaNet on B200.
inline constexpr double issue_efficiency = 0.84;
/// The same for kernels of small tiles (delta rules, state-space scans). Fitted to Gated DeltaNet
/// on B200.
inline constexpr double tile_issue_efficiency = 0.55;
/// Clocks from the registers of one small product to those of the next: store to shared memory,
/// fence, barrier, wait for the tensor unit, load of the accumulator. Fitted to Gated DeltaNet on
/// B200.
inline constexpr double product_handoff_clocks = 300;

/// Instructions per score of a tile that the mask of attention cuts: indices of row and key, their
/// bounds, the selection, and what the compiler cannot keep in registers meanwhile. Fitted to
/// prefill on H100.
inline constexpr std::int64_t masked_score_instructions = 14;
/// The same for windows in FP8, where kernels take far more, as spilled registers would.
inline constexpr std::int64_t spilled_score_instructions = 36;

/// Bytes that a thread addresses at once cost this many lane operations: 64-bit addresses and
/// bounds, conversion. Fitted to quantisations whose operands lie in L2 on H100 (per-tensor and
/// 1x128, TensorRT-LLM).
inline constexpr std::int64_t operations_per_access = 80;
/// Hand-overs of a stage per block of 128 elements along K where CUDA cores promote the sums.
/// Fitted to narrow block-scaled products with long K on H100 (TensorRT-LLM): 140 ns per block.
inline constexpr std::int64_t promoted_handoffs = 5;
/// Clocks from a value in one warp's register to its use in another's: a store to shared memory, a
/// barrier and a load. Luo et al., "Benchmarking and dissecting the NVIDIA Hopper GPU architecture"
/// (2024): 29 to 33 clocks per access to shared memory on A100, H100 and RTX 4090; that the barrier
/// costs as much, and a sum over the lanes of the warp goes before it, is an estimate.
inline constexpr double exchange_clocks = 100;
/// GEMM tilings whose predicted costs are within this factor of the least count as equal; of them
/// the one that reads least from L2 runs. Estimated: the error of the prediction.
inline constexpr double tiling_tie = 1.05;

/// The constants above by name, all of basis `fitted`.
[[nodiscard]] ParameterSet constants();

}  // namespace tandem::gpu::shared
