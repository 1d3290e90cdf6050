// Attention over a prefix that several requests share, read once for all of them.
#pragma once

#include <cstdint>
#include <vector>

#include "sim/lower/batch.hpp"
#include "sim/lower/kernel_shapes.hpp"

namespace tandem {

/// A pass's attention in two parts whose softmaxes are merged (cascade attention: Ye et al.,
/// flashinfer.ai/2024/02/02/cascade-inference.html; vllm-project/vllm flash_attn.py
/// cascade_attention). Queries of slices that share a prefix stand together over its keys, all of
/// which each of them sees; every query then meets the rest of its own context.
struct Cascade {
  std::vector<QuerySpan> prefixes;  ///< one per prefix that at least two slices share
  std::vector<QuerySpan> own;       ///< of all slices in their order
  std::int64_t queries = 0;         ///< that meet a prefix
  [[nodiscard]] bool exists() const { return !prefixes.empty(); }
};

/// A prefix that one decoding slice alone has in this pass is part of its own context.
[[nodiscard]] Cascade cascade_of(const std::vector<SequenceSlice>& slices);

/// What vLLM's choice looks at: the heads that one chip attends with, and its SMs.
struct CascadeChip {
  std::int64_t query_heads = 1;
  std::int64_t kv_heads = 1;
  std::int64_t units = 1;
};

/// Whether vLLM reads the prefix of a pass once: all requests of the pass have it, it is no shorter
/// than 256 tokens, they are no fewer than 8, and attention without it either does not split keys
/// or, estimated in waves of tiles of 128 by 128, takes longer (vllm-project/vllm
/// vllm/v1/attention/backends/flash_attn.py, use_cascade_attention; prompts in the pass count as
/// requests without the prefix here).
[[nodiscard]] bool vllm_cascades(const std::vector<SequenceSlice>& slices, const CascadeChip& chip);

/// Every slice reads its own copy of what it shares.
void share_no_prefix(std::vector<SequenceSlice>& slices);

}  // namespace tandem
