// Limits on the replicas of both pools together: chips, and power.
#pragma once

#include "sim/service/planner/scaling.hpp"

namespace tandem {

/// What one replica of each pool takes, in whatever the budget is counted in.
struct ReplicaCost {
  double prefill = 1;
  double decode = 1;
};

/// Replicas within a budget (Dynamo's _apply_global_gpu_budget): where the proposal is beyond it,
/// prefill shrinks in proportion, but not so far that decode could not have its least, and decode
/// takes what is left. The least of both is never undercut.
[[nodiscard]] ReplicaCounts within_budget(const ReplicaCounts& proposed, const ReplicaCost& cost,
                                          double budget, std::int64_t least);

}  // namespace tandem
