// Attention as CTAs over query tiles and KV tiles: online softmax, causal and window skipping,
// shared KV heads; short queries are split over the KV length and combined.
#pragma once

#include "models/gpu/plan.hpp"

namespace tandem::gpu {

/// Sum over i in [0, n) of clamp(a + i, low, high), in closed form.
[[nodiscard]] std::int64_t sum_clamped(std::int64_t a, std::int64_t n, std::int64_t low,
                                       std::int64_t high);

/// Visible (query, key) pairs of queries [q_begin, q_end) of a span and keys [k_begin, k_end).
[[nodiscard]] std::int64_t visible_pairs(const AttentionKernel& shape,
                                         const AttentionKernel::Span& span, std::int64_t q_begin,
                                         std::int64_t q_end, std::int64_t k_begin,
                                         std::int64_t k_end);

[[nodiscard]] KernelPlan plan_attention(const GpuParams& params, const Kernel& kernel,
                                        const AttentionKernel& attention);

}  // namespace tandem::gpu
