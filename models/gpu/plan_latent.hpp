// Latent attention in absorbed form: tiles of query heads over the cached latents, which are keys
// and values at once and lie in shared memory only once; requests are split along their keys over
// the SMs and combined.
#pragma once

#include "models/gpu/plan.hpp"

namespace tandem::gpu {

/// Shape of a latent-attention schedule.
struct LatentTiling {
  std::int64_t rows = 64;    ///< query heads of one CTA
  std::int64_t keys = 64;    ///< latents of one main-loop turn
  std::int64_t stages = 2;   ///< turns in shared memory per CTA
  std::int64_t sharers = 1;  ///< CTAs of a pair that take latents from one L2 read
  /// Requests are dealt out to the SMs in advance, whole or in parts; otherwise each gets as many
  /// CTAs as leave no SM idle.
  bool dealt = false;
};

/// A run of keys of one query of a request against a tile of its heads.
struct LatentSegment {
  std::int64_t span = 0, query = 0;
  std::int64_t head_begin = 0, head_end = 0;
  std::int64_t key_begin = 0, key_end = 0;
  std::int64_t part = 0, parts = 1;
};

/// Keys that the given query of a span sees.
[[nodiscard]] std::int64_t latent_keys(const LatentAttentionKernel& shape, const QuerySpan& span,
                                       std::int64_t query);

/// Tiles as the libraries of each architecture choose them, shrunk to what the chip holds.
[[nodiscard]] LatentTiling latent_tiling(const GpuParams& params,
                                         const LatentAttentionKernel& shape);

/// All segments in launch order.
[[nodiscard]] std::vector<LatentSegment> latent_segments(const GpuParams& params,
                                                         const LatentAttentionKernel& shape,
                                                         const LatentTiling& tiling);

[[nodiscard]] KernelPlan plan_latent(const GpuParams& params, const LatentAttentionKernel& shape);

}  // namespace tandem::gpu
