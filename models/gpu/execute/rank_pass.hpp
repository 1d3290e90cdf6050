// A pass of a stage on one GPU, kernel by kernel, up to where it meets others.
#pragma once

#include <memory>

#include "models/gpu/execute/pass_state.hpp"

namespace tandem::gpu {

/// Begins a pass over the requests in `caches`, which it opens and grows. `on` and `in` must
/// outlive it. Throws ModelError where tokens, hidden rows or caches do not match the batch.
[[nodiscard]] std::unique_ptr<RankPass> begin_pass(StageOnChip& on, const Batch& batch,
                                                   const StageData& in,
                                                   std::map<std::int64_t, RequestCache>& caches);

}  // namespace tandem::gpu
