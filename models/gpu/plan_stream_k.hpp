// Stream-K: the K slices of the last output tiles are dealt out evenly, so that no wave of CTAs
// runs half empty (Osama et al., "Stream-K", PPoPP 2023; CUTLASS tile_scheduler StreamK).
#pragma once

#include <vector>

#include "models/gpu/plan_gemm.hpp"

namespace tandem::gpu {

/// Chunks [begin, end) of the K loop of one output tile, for one CTA.
struct StreamKSegment {
  std::int64_t tile = 0;
  std::int64_t begin = 0, end = 0;
  std::int64_t part = 0, parts = 1;  ///< of the tile
};

/// The work of `ctas` CTAs on `tiles` output tiles of `chunks` chunks each: whole tiles while there
/// is more than one further wave of them, then shares of equal length, at most one chunk apart.
/// Every chunk of every tile occurs once.
[[nodiscard]] std::vector<StreamKSegment> stream_k_segments(std::int64_t tiles, std::int64_t chunks,
                                                            std::int64_t ctas);

/// Predicted time of a tiling (split 1) as stream-K, for choosing only: as `predict_gemm` without
/// the empty part of the last wave, and with the partial sums that go through L2.
[[nodiscard]] Picoseconds predict_stream_k(const GpuParams& params, const GemmKernel& gemm,
                                           const GemmTiling& tiling);

/// The plan of one tiling: segments on CTAs that stay on their SM, then the sum of the parts of
/// divided tiles.
[[nodiscard]] KernelPlan plan_stream_k(const GpuParams& params, const GemmKernel& gemm,
                                       const GemmTiling& tiling);

}  // namespace tandem::gpu
