// Copies that a framework makes around an attention kernel.
#pragma once

#include <optional>

#include "models/gpu/plan.hpp"

namespace tandem::gpu {

/// Bytes of the queries (`before`) and outputs (`after`) that are copied around a decode kernel
/// that takes the heads of a KV group for rows; zero: none. FlashAttention-2 as vLLM calls it
/// (mha_varlen_fwd, seqlenq_ngroups_swapped): the result is copied to where the caller wants it,
/// and queries are transposed first unless the transposed tensor is a view.
struct AttentionCopies {
  Bytes before, after;
  bool strided = false;  ///< the copies transpose; else they are plain
};
[[nodiscard]] AttentionCopies attention_copies(const GpuParams& params,
                                               const AttentionKernel& shape);

/// One copy as a launch of its own. `tile` is the first free tile of the kernel.
[[nodiscard]] PlanPhase copy_phase(const GpuParams& params, Bytes bytes, bool strided,
                                   std::int64_t tile);

}  // namespace tandem::gpu
