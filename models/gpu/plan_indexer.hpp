// The indexer of sparse attention: scores of every visible key, then the choice of the best.
#pragma once

#include "models/gpu/plan.hpp"

namespace tandem::gpu {

/// Two phases: tiles of queries and index heads against runs of keys, whose scores stay in L2; then
/// one CTA per query that reads its scores and keeps the best.
[[nodiscard]] KernelPlan plan_indexer(const GpuParams& params, const IndexerKernel& shape);

}  // namespace tandem::gpu
