// Attention on real numbers, CTA by CTA of the timed plan: a schedule that leaves out, repeats or
// misplaces a key shows in the result.
#pragma once

#include <functional>
#include <span>

#include "models/gpu/params.hpp"
#include "sim/lower/kernel_shapes.hpp"

namespace tandem::gpu {

/// Rows of an attention kernel by span and token; heads lie side by side in a row.
struct AttentionRows {
  using Read = std::function<std::span<const float>(std::size_t span, std::int64_t token)>;
  using Write = std::function<std::span<float>(std::size_t span, std::int64_t token)>;
  Read query;       ///< [heads * head_dim], token counted from the span's first query
  Read key, value;  ///< [kv_heads * head_dim], token counted from position 0
  Write out;        ///< like query
};

/// softmax(q k / sqrt(head_dim)) v with the mask and window of `shape`, rounded to
/// `shape.activations`. Each CTA of the schedule folds its keys turn by turn; the parts of split
/// keys are added in ascending order. Throws ModelError for sinks, soft caps and value widths that
/// differ from the keys', which have no functional form here, and where the schedule computes a row
/// never or twice.
void planned_attention(const GpuParams& params, const AttentionKernel& shape,
                       const AttentionRows& rows);

}  // namespace tandem::gpu
