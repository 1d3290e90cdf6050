// The CTAs of an attention kernel: which rows meet which keys, in launch order.
#pragma once

#include <vector>

#include "models/gpu/attention_tiling.hpp"

namespace tandem::gpu {

/// One CTA: a run of query rows of one or more heads against a run of keys.
struct AttentionCta {
  std::int64_t span = 0;
  std::int64_t kv_head = 0;
  std::int64_t heads = 1;
  std::int64_t q_begin = 0, q_end = 0;
  std::int64_t k_begin = 0, k_end = 0;
  std::int64_t part = 0, parts = 1;  ///< KV splits of the same rows
  std::int64_t q_tile = 0;           ///< tile number of its queries
  std::int64_t workspace_tile = -1;
  std::int64_t first_head = 0;  ///< of its `heads` query heads
  /// CTAs without rows that it stands for, one after the other; 0: it has rows. Grids give every
  /// span as many tiles of queries as the longest one has.
  std::int64_t without_rows = 0;
  /// A part without keys: grids count parts by the whole cache, whatever of it is visible.
  [[nodiscard]] bool is_idle() const { return k_begin >= k_end; }
};

/// CTAs of one tiling and the tiles they touch. Tile numbers: KV first, then sinks, queries and
/// partial results; the KV tiles of a span follow `first_kv_tile`, one per head and turn.
struct AttentionSchedule {
  AttentionTiling tiling;
  std::vector<AttentionCta> ctas;
  std::vector<std::int64_t> first_kv_tile;  ///< per span
  std::int64_t turn_keys = 128;             ///< keys per main-loop turn, a multiple of tiling.keys
  std::int64_t merged = 1;                  ///< turns of the kernel in one turn of the schedule
  std::int64_t period = 0;                  ///< as in PlanPhase
  std::int64_t first_sink_tile = 0;         ///< sinks of the heads that share a KV head: a tile
  std::int64_t neighbour_tile = 0;          ///< rows of other requests that boxes bring along
  std::int64_t tiles = 0;
};

/// Keys [first, last) that any of the queries [q_begin, q_end) sees.
[[nodiscard]] std::pair<std::int64_t, std::int64_t> visible_range(const AttentionKernel& shape,
                                                                  const QuerySpan& span,
                                                                  std::int64_t q_begin,
                                                                  std::int64_t q_end);

/// Schedule of the spans of up to packed_queries queries, or of the longer ones; numbers tiles from
/// `first_tile`. No CTAs: there are no such spans.
[[nodiscard]] AttentionSchedule attention_schedule(const GpuParams& params,
                                                   const AttentionKernel& shape, bool is_packed,
                                                   std::int64_t first_tile);

}  // namespace tandem::gpu
