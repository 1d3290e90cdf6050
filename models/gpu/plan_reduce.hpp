// Second phase of split kernels: partial results lie in L2 and are added up in a fixed order.
#pragma once

#include "models/gpu/plan.hpp"

namespace tandem::gpu {

/// One CTA of a reduction: reads `parts` partial results at consecutive tiles.
struct ReduceTask {
  std::int64_t first_tile = 0;
  std::int64_t parts = 1;
  Bytes part_bytes;
  Epilogue epilogue = {};
  std::int64_t rounds = 1;  ///< dependent loads in which a thread reads its share of a part
};

/// A phase of one CTA per task. `tiles` is the tile count of the kernel.
[[nodiscard]] PlanPhase reduce_phase(const GpuParams& params, std::vector<ReduceTask> tasks,
                                     std::int64_t tiles);

}  // namespace tandem::gpu
