// One product per expert in one launch: tiles of all experts' outputs in a row, expert by expert,
// walked by CTAs that stay on their SM (CUTLASS grouped GEMM, DeepGEMM).
#pragma once

#include "models/gpu/plan.hpp"

namespace tandem::gpu {

/// Shape of a grouped schedule. Rows are tokens, columns weight rows.
struct GroupedTiling {
  std::int64_t tile_m = 64;
  std::int64_t tile_n = 128;
  std::int64_t slice_k = 64;
  std::int64_t stages = 4;  ///< slices in shared memory per CTA
  std::int64_t ctas_per_sm = 1;
};

/// Tilings that a library compiles: row tiles of 16 to 256 by 128 weight rows, and 128 by 256,
/// which fit the SM (TensorRT-LLM, cutlass_heuristic.cpp, get_candidate_tiles_sm90 for grouped
/// GEMMs).
[[nodiscard]] std::vector<GroupedTiling> grouped_menu(const GpuParams& params,
                                                      const GroupedGemmKernel& gemm);

/// Predicted time of a tiling, for choosing only: the largest of tensor, port, L2 and HBM time.
[[nodiscard]] Picoseconds predict_grouped(const GpuParams& params, const GroupedGemmKernel& gemm,
                                          const GroupedTiling& tiling);

/// The tiling with the smallest predicted time, first of equals; on `tuned_rows` rows for each
/// expert where the kernel states them.
[[nodiscard]] GroupedTiling choose_grouped(const GpuParams& params, const GroupedGemmKernel& gemm);

/// The plan of one given tiling.
[[nodiscard]] KernelPlan plan_grouped_with(const GpuParams& params, const GroupedGemmKernel& gemm,
                                           const GroupedTiling& tiling);

[[nodiscard]] KernelPlan plan_grouped(const GpuParams& params, const GroupedGemmKernel& gemm);

}  // namespace tandem::gpu
