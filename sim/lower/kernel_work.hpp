// Closed forms of work by kernel kind; work_of() in kernel.hpp is the way in. Counting rules, the
// same for every chip: a multiply-add is two operations; adds, multiplies, comparisons and limits
// of element-wise work one each; exponentials, logarithms, divisions, square roots, tanh and erf
// are special. Choosing among n scores costs n comparisons, the least that any method needs.
// Scalings by constants that a row's factor or a weight can absorb cost nothing.
#pragma once

#include <cstdint>
#include <span>

#include "sim/lower/kernel.hpp"

namespace tandem::work {

inline constexpr std::int64_t index_bytes = 4;  ///< token and expert numbers
inline constexpr std::int64_t float_bytes = 4;

/// `width`: bytes of an activation.
[[nodiscard]] KernelWork of(const EmbeddingKernel& shape, std::int64_t width);
[[nodiscard]] KernelWork of(const NormKernel& shape, std::int64_t width);
[[nodiscard]] KernelWork of(const GemmKernel& shape, std::int64_t width);
[[nodiscard]] KernelWork of(const BatchedGemmKernel& shape, std::int64_t width);
[[nodiscard]] KernelWork of(const GroupedGemmKernel& shape, std::int64_t width);
[[nodiscard]] KernelWork of(const RopeKernel& shape, std::int64_t width);
[[nodiscard]] KernelWork of(const CacheReadKernel& shape, std::int64_t width);
[[nodiscard]] KernelWork of(const AttentionKernel& shape, std::int64_t width);
[[nodiscard]] KernelWork of(const LatentAttentionKernel& shape, std::int64_t width);
[[nodiscard]] KernelWork of(const IndexerKernel& shape, std::int64_t width);
[[nodiscard]] KernelWork of(const ShortConvolutionKernel& shape, std::int64_t width);
[[nodiscard]] KernelWork of(const DeltaGateKernel& shape, std::int64_t width);
[[nodiscard]] KernelWork of(const GatedDeltaKernel& shape, std::int64_t width);
[[nodiscard]] KernelWork of(const StateSpaceScanKernel& shape, std::int64_t width);
[[nodiscard]] KernelWork of(const RouterKernel& shape, std::int64_t width);
[[nodiscard]] KernelWork of(const ExpertSortKernel& shape, std::int64_t width);
[[nodiscard]] KernelWork of(const DispatchKernel& shape, std::int64_t width);
[[nodiscard]] KernelWork of(const CombineKernel& shape, std::int64_t width);
[[nodiscard]] KernelWork of(const ActivationKernel& shape, std::int64_t width);
[[nodiscard]] KernelWork of(const ElementwiseKernel& shape, std::int64_t width);
[[nodiscard]] KernelWork of(const SampleKernel& shape, std::int64_t width);
[[nodiscard]] KernelWork of(const QuantiseKernel& shape, std::int64_t width);

/// (query, key) pairs that count. Query i of q stands at position kv - q + i and sees the last
/// min(position + 1, limit) keys up to its own, all for a limit of 0; not causal: every query sees
/// min(kv, limit) keys.
[[nodiscard]] std::int64_t visible_pairs(const QuerySpan& span, std::int64_t limit, bool causal);

}  // namespace tandem::work
