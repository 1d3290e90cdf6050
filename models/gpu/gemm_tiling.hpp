// Quantities of one GEMM tiling that the plan and the choice among tilings share.
#pragma once

#include "models/gpu/plan_gemm.hpp"
#include "sim/core/integers.hpp"

namespace tandem::gpu {

inline constexpr std::int64_t accumulator_bytes = 4;

/// Bytes of one K slice of both operands in shared memory.
[[nodiscard]] std::int64_t slice_bytes(const ProductFormat& format, const GemmTiling& tiling);

/// Each warpgroup of 64 rows reads its own rows of A and all of B from shared memory.
[[nodiscard]] std::int64_t shared_traffic(const ProductFormat& format, const GemmTiling& tiling,
                                          std::int64_t k);

/// Tensor instructions along K: each takes 32 bytes of the wider operand.
[[nodiscard]] std::int64_t chain_of(const ProductFormat& format, std::int64_t k);

/// tcgen05 with two CTAs: each of a pair of neighbours along M loads half of B for both (PTX ISA,
/// cta_group::2). 1: no pairs.
[[nodiscard]] std::int64_t pair_of(const GpuParams& params, const GemmGrid& grid,
                                   const GemmTiling& tiling);

/// CTAs of a cluster along M that take a tile of B from one read of L2 (a pair: half a tile each).
[[nodiscard]] std::int64_t sharers_of_b(const GpuParams& params, const GemmGrid& grid,
                                        const GemmTiling& tiling);

/// Pairs stand side by side along N in larger clusters and share A.
[[nodiscard]] std::int64_t sharers_of_a(const GpuParams& params, const GemmGrid& grid,
                                        const GemmTiling& tiling);

/// Shared-memory bytes of one output element on its way out, written and read once: warps exchange
/// fp32 sums; wgmma and tcgen05 kernels convert first and store tiles by TMA (CUTLASS epilogues).
[[nodiscard]] std::int64_t staging_bytes(const GpuParams& params, const ProductFormat& format);

/// Scales of `k` elements of one tile, a byte each, that tensor units take from tensor memory: all
/// 128 lanes of it, whether the tile fills them or not.
[[nodiscard]] std::int64_t scale_copies(const GpuParams& params, const ProductFormat& format,
                                        const GemmTiling& tiling, std::int64_t k);

/// Whether tensor memory holds two sets of sums, so that one is stored while the other grows, or
/// warpgroups take tiles in turn.
[[nodiscard]] bool overlaps_epilogue(const GpuParams& params, const GemmTiling& tiling);

}  // namespace tandem::gpu
