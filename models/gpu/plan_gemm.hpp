// GEMM as tiles of the output: one CTA per tile and K split, main loop over K slices.
#pragma once

#include "models/gpu/plan.hpp"

namespace tandem::gpu {

/// Shape of a GEMM schedule.
struct GemmTiling {
  std::int64_t tile_m = 128;
  std::int64_t tile_n = 128;
  std::int64_t split = 1;  ///< CTAs that share one output tile along K
  std::int64_t slice_k = 64;
  std::int64_t stages = 4;  ///< slices in shared memory per CTA
  std::int64_t ctas_per_sm = 1;
  std::int64_t cluster_rows = 1;  ///< rows of tiles are launched in multiples of this
  bool clusters = true;           ///< neighbours share loads and pair up where the chip can
  bool alternates = false;        ///< two groups of warps take tiles in turn (CUTLASS ping-pong)
};

/// Output tiles and K slices of one tiling.
struct GemmGrid {
  std::int64_t tiles_m = 0, tiles_n = 0, slices = 0, slices_per_split = 0;
};
[[nodiscard]] GemmGrid grid_of(const GemmKernel& gemm, const GemmTiling& tiling);

/// Tilings a library offers for this shape: tile menu, occupancy and split-K, resources checked.
[[nodiscard]] std::vector<GemmTiling> gemm_menu(const GpuParams& params, const GemmKernel& gemm);

/// Predicted time of a tiling, for choosing only: the largest of tensor, L2, port and HBM time plus
/// pipeline fill per round.
[[nodiscard]] Picoseconds predict_gemm(const GpuParams& params, const GemmKernel& gemm,
                                       const GemmTiling& tiling);

/// The plan of one given tiling.
[[nodiscard]] KernelPlan plan_gemm_with(const GpuParams& params, const GemmKernel& gemm,
                                        const GemmTiling& tiling);

/// Of the tilings within 5 % of the smallest predicted time the one that reads the least from L2,
/// as the largest reuse is the safest choice (first of equals). Throws ModelError on empty shapes.
[[nodiscard]] GemmTiling choose_tiling(const GpuParams& params, const GemmKernel& gemm);

/// Row tiles of one raster column: with 108 to 148 SMs a wave is then about square.
inline constexpr std::int64_t raster_group = 8;

/// The plan of the chosen tiling.
[[nodiscard]] KernelPlan plan_gemm(const GpuParams& params, const Kernel& kernel,
                                   const GemmKernel& gemm);

/// Output tile of a CTA in raster order: columns of `group` row tiles, so that the CTAs resident
/// together form a block whose operands are shared in L2. With split K all tiles of one part come
/// before those of the next, as grid.z does in CUTLASS.
struct TileCoordinates {
  std::int64_t m = 0, n = 0, split = 0;
};
[[nodiscard]] TileCoordinates raster(const GemmGrid& grid, std::int64_t group, std::int64_t cta);

}  // namespace tandem::gpu
