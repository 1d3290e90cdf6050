// Which attention kernel runs: its tile, how its warps share an SM, and how it splits the keys of
// short queries. What the CTAs are then is in attention_schedule.hpp.
#pragma once

#include "models/gpu/plan.hpp"

namespace tandem::gpu {

/// Queries per request up to which a kernel packs the heads of a KV group into one tile.
inline constexpr std::int64_t packed_queries = 8;

/// Tile and resources of one attention kernel.
struct AttentionTiling {
  std::int64_t rows = 64;           ///< query rows of a CTA
  std::int64_t row_granule = 64;    ///< a partial tile computes whole granules
  std::int64_t keys = 128;          ///< keys of a main-loop turn, computed whole
  std::int64_t rows_per_read = 64;  ///< rows that one read of K and V from shared memory serves
  std::int64_t threads = 128;
  std::int64_t registers = 255;  ///< per thread
  std::int64_t most_ctas = 2;    ///< CTAs per SM that the kernel is built for
  VectorWork vector_work = VectorWork::Lockstep;
  bool fetches_in_order = false;  ///< as in PlanPhase
  bool persistent = false;
  /// Queries, keys and values arrive as whole boxes of the tensor memory accelerator, which knows
  /// where a tensor ends but not where a request does: short tiles fetch their neighbours' rows.
  bool fetches_boxes = false;
  /// Dependent reads before the first keys arrive, themselves included:
  /// the tile or the sequence lengths, then the pages or the mask's bounds, then keys.
  std::int64_t first_rounds = 1;
  std::int64_t least_stages = 1;  ///< turns in flight that overlap although a CTA holds one turn
  std::int64_t turn_rounds = 1;   ///< dependent reads of a later turn
  /// Exchanges between warps, one after the other: before and in the first turn, in each later one,
  /// and after the last.
  std::int64_t first_exchanges = 0, turn_exchanges = 0, last_exchanges = 0;
  /// Latencies of the chip's tensor instruction from one link of a chain of products to the next.
  std::int64_t links_per_instruction = 1;
  /// Instructions that mask one score, in the tiles of keys that the mask cuts.
  std::int64_t issue_per_masked = 0;
  bool per_query_head = false;  ///< decode without tensor cores: one CTA per query head
  /// Products on CUDA cores issue this many instructions per multiply-add.
  std::int64_t issue_per_product = 1;
};

/// The kernel out of the library that the framework of a chip launches.
[[nodiscard]] AttentionKernel of_framework(const GpuParams& params, AttentionKernel shape);

/// True where the heads of a KV group share a tile of this span's few queries. FlashAttention has
/// one launch for all spans and packs only when all are short; others launch prefill and decode
/// apart.
[[nodiscard]] bool is_packed_span(const GpuParams& params, const AttentionKernel& shape,
                                  const QuerySpan& span);

/// True where the heads of a KV group share the tiles of long spans too: FlashAttention-3 does so
/// wherever it is given lists of lengths (hopper/heuristics.h, should_pack_gqa).
[[nodiscard]] bool packs_long_spans(const GpuParams& params, const AttentionKernel& shape);

/// True where the grid of long spans is tiles of queries, spans, heads, the last slowest, with as
/// many tiles for every span as the longest has: FlashAttention-2 (flash_fwd_launch_template.h,
/// run_flash_splitkv_fwd).
[[nodiscard]] bool goes_by_heads(const GpuParams& params, const AttentionKernel& shape);

/// The kernel that `shape.library` has for spans of up to `packed_queries` queries (`is_packed`) or
/// longer ones on this chip.
[[nodiscard]] AttentionTiling attention_tiling(const GpuParams& params,
                                               const AttentionKernel& shape, bool is_packed);

/// Bytes of shared memory of a CTA with `stages` turns of K and V.
[[nodiscard]] std::int64_t shared_bytes(const AttentionKernel& shape, const AttentionTiling& tiling,
                                        std::int64_t stages);

/// Parts into which the keys of the longest packed span are split, where all spans take parts of
/// the same length. `runs` is the number of CTAs without a split, `keys` those of that span.
[[nodiscard]] std::int64_t split_parts(const GpuParams& params, const AttentionKernel& shape,
                                       const AttentionTiling& tiling, std::int64_t runs,
                                       std::int64_t keys);

/// True where each packed span is split by itself: FlashAttention-3, which cuts spans to what an SM
/// has to do on average (hopper/flash_prepare_scheduler.cu, prepare_varlen_num_blocks_kernel).
[[nodiscard]] bool splits_by_share(const GpuParams& params, const AttentionKernel& shape);

/// Blocks of keys up to which FlashAttention-3 leaves a span whole: 1.1 times an SM's share of the
/// `blocks` of all spans, each taken by `runs` CTAs.
[[nodiscard]] std::int64_t share_of_sm(const GpuParams& params, std::int64_t runs,
                                       std::int64_t blocks);

/// Its upper bound on the parts of a span: as many as the longest one, of `blocks`, would have by
/// itself (hopper/flash_api.cpp, get_num_splits).
[[nodiscard]] std::int64_t most_splits(const GpuParams& params, std::int64_t runs,
                                       std::int64_t blocks);

/// True where that grid has parts for the whole cache although a window hides most of it, or a turn
/// spans several of them: TensorRT-LLM before Blackwell (decoderXQAImplJIT,
/// computeMultiBlockCount).
[[nodiscard]] bool splits_whole_cache(const GpuParams& params, const AttentionKernel& shape);

/// True where the decode kernel rotates queries and appends the new keys and values itself: masked
/// multi-head attention, and the XQA kernels for FP8 caches on Hopper (TensorRT-LLM
/// decoderXQAImplJIT, appliesRoPEInXqaKernel). Others leave that to a kernel before them.
[[nodiscard]] bool appends_to_cache(const GpuParams& params, const AttentionKernel& shape);

/// Launches that prepare `shape.library`'s kernel: lists of sequence lengths for the decode kernels
/// of Blackwell (TensorRT-LLM xqaDispatcher) and cleared tile counters for prefill kernels that
/// deal out tiles.
[[nodiscard]] std::int64_t preparing_launches(const GpuParams& params, const AttentionKernel& shape,
                                              bool is_packed);

/// True where another kernel combines the parts; false where the last CTA of a run does.
[[nodiscard]] bool combines_apart(const GpuParams& params, const AttentionKernel& shape);

}  // namespace tandem::gpu
