#include "models/gpu/attention_tiling.hpp"

#include <algorithm>

#include "models/gpu/shared_constants.hpp"
#include "sim/core/integers.hpp"

namespace tandem::gpu {
namespace {

/// Columns of tensor memory: each is a float in every one of 128 lanes (PTX ISA, tcgen05).
std::int64_t tensor_memory_columns(const GpuParams& params) {
  constexpr std::int64_t lanes = 128, float_bytes = 4;
  return params.tensor_memory.count() / (lanes * float_bytes);
}

/// Longest span in queries.
std::int64_t longest_query(const AttentionKernel& shape) {
  std::int64_t longest = 0;
  for (const QuerySpan& span : shape.spans) longest = std::max(longest, span.q_len);
  return longest;
}

/// Chips whose tensor instructions keep their accumulators in a memory of their own (tcgen05).
bool has_tensor_memory(const GpuParams& params) {
  return params.matrix_issue == MatrixIssue::TensorMemory;
}

/// FlashAttention-2, and fmha_v2 before Hopper: 64 rows, 16 per warp, each warp reads all of K and
/// V from shared memory. Paged caches take FlashAttention's split kernel with these tiles.
/// Dao-AILab/flash-attention csrc/flash_attn/src/flash_fwd_launch_template.h;
/// NVIDIA/TensorRT-LLM cpp/kernels/fmha_v2 (flash attention, "64_128_S_128").
AttentionTiling synchronous_tiling(const AttentionKernel& shape) {
  AttentionTiling tiling;
  // Values arrive during the product with keys, the next keys during softmax, and a barrier follows
  // each arrival; outputs take the way through shared memory.
  tiling.least_stages = 2;
  tiling.first_exchanges = tiling.turn_exchanges = tiling.last_exchanges = 2;
  tiling.rows_per_read = 16;
  tiling.fetches_in_order = true;
  tiling.vector_work = VectorWork::AfterTensor;
  if (shape.head_dim > 128) tiling.keys = 64;
  if (shape.head_dim <= 64) tiling.keys = shape.library == AttentionLibrary::Flash ? 256 : 128;
  if (shape.head_dim <= 64 && shape.library == AttentionLibrary::TensorRt) {
    tiling.rows = 128;
    tiling.rows_per_read = 32;
  }
  return tiling;
}

/// FlashAttention-3: warpgroups of 64 rows take turns at the tensor pipe, and softmax runs beside
/// the product with V. hopper/tile_size.h.
AttentionTiling flash3_tiling(const AttentionKernel& shape) {
  AttentionTiling tiling;
  tiling.rows = shape.head_dim <= 64 ? 192 : 128;
  tiling.keys = shape.head_dim > 192 ? 80 : 128;
  tiling.threads = 384;
  tiling.registers = 168;
  tiling.most_ctas = 1;
  tiling.vector_work = VectorWork::BesideValues;
  tiling.persistent = true;
  return tiling;
}

/// Instructions per score of a tile that the mask cuts.
std::int64_t issue_per_masked(bool spills) {
  return spills ? shared::spilled_score_instructions : shared::masked_score_instructions;
}

/// Spans that fmha_v2 gives to its older Hopper kernel, with the whole row of scores.
bool is_short_hopper(const AttentionKernel& shape) {
  return shape.head_dim <= 64 && longest_query(shape) <= 256 && bytes_of(shape.activations) == 2;
}

/// fmha_v2 on Hopper: a loading warpgroup and two that compute 64 rows each, one CTA per SM that
/// takes tile after tile. Heads of up to 64 with up to 256 queries run the older kernel that holds
/// the whole row of scores. TensorRT-LLM fmhaRunner.cpp, setupLaunchParams.
AttentionTiling fused_hopper_tiling(const AttentionKernel& shape) {
  AttentionTiling tiling;
  const std::int64_t queries = longest_query(shape);
  if (is_short_hopper(shape)) {
    tiling.keys = queries <= 64 ? 64 : (queries <= 128 ? 128 : 256);
    tiling.registers = 168;
    tiling.most_ctas = 3;
    tiling.issue_per_masked = issue_per_masked(false);
    return tiling;
  }
  tiling.rows = 128;
  tiling.first_rounds = 3;
  // setup.py, enumerate_hgmma_flash_warpspec_kernels and enumerate_qgmma_flash_warpspec_kernels.
  const bool is_narrow = bytes_of(shape.activations) == 1;
  tiling.issue_per_masked = issue_per_masked(is_narrow && shape.window > 0);
  // FP8 products take V by columns: a warpgroup transposes 16 KiB per turn with 16 bytes per
  // thread, eight times through shared memory; only the first turn waits for it.
  if (is_narrow) tiling.first_exchanges = 8;
  tiling.keys = shape.head_dim > 128 ? (is_narrow ? 128 : 64) : (shape.head_dim > 64 ? 128 : 256);
  tiling.fetches_boxes = true;
  tiling.threads = 384;
  tiling.registers = 168;
  tiling.most_ctas = 1;
  return tiling;
}

/// Blackwell: two tiles of 128 rows take turns, so that one is in softmax while the tensor pipe
/// works for the other, where tensor memory holds scores and outputs of both (TensorRT-LLM's
/// trtllm-gen kernels; FlashAttention-4, flash_attn/cute).
AttentionTiling tensor_memory_tiling(const GpuParams& params, const AttentionKernel& shape) {
  AttentionTiling tiling;
  tiling.row_granule = 128;
  tiling.first_rounds = 3;
  tiling.rows_per_read = 128;
  tiling.threads = 512;
  tiling.registers = 128;
  tiling.most_ctas = 1;
  tiling.fetches_boxes = true;
  const std::int64_t columns = shape.value_width() + tiling.keys;
  const std::int64_t available = tensor_memory_columns(params);
  const bool fits_two = 2 * columns <= available;
  tiling.rows = fits_two ? 256 : 128;
  // One tile takes turns with itself where its scores fit twice beside its outputs.
  const bool fits_scores_twice = columns + tiling.keys <= available;
  tiling.vector_work =
      fits_two || fits_scores_twice ? VectorWork::BesideTensor : VectorWork::AfterTensor;
  tiling.issue_per_masked = issue_per_masked(false);
  return tiling;
}

AttentionTiling prefill_tiling(const GpuParams& params, const AttentionKernel& shape) {
  if (params.matrix_issue == MatrixIssue::Warp) return synchronous_tiling(shape);
  if (has_tensor_memory(params)) return tensor_memory_tiling(params, shape);
  return shape.library == AttentionLibrary::Flash ? flash3_tiling(shape)
                                                  : fused_hopper_tiling(shape);
}

/// XQA's mha.cu: four warps multiply Q with 64 keys each, four more multiply with V and take the
/// first ones' probabilities over in shared memory. Heads come in parts of 128 bytes, each loaded
/// when the part before it is in use: as many rounds for K as for V, of which only the first is
/// beside those of K. The barriers: set-up, arrival of Q, maximum over the warps, a hand-over of
/// probabilities and one of their sums and maxima per tile of 64 keys; at the end sums over the
/// warps, their halves of the output and its way through shared memory, two each.
/// NVIDIA/TensorRT-LLM cpp/kernels/xqa/mha.cu.
AttentionTiling xqa_tiling(const AttentionKernel& shape) {
  const std::int64_t parts = ceil_div(shape.head_dim * bytes_of(shape.kv), 128);
  AttentionTiling tiling;
  tiling.rows_per_read = 16;
  tiling.row_granule = 16;
  tiling.keys = 256;
  tiling.most_ctas = 1;
  tiling.first_rounds = 2 * parts + 1;
  tiling.turn_rounds = parts;
  tiling.first_exchanges = 11;
  tiling.turn_exchanges = 9;
  tiling.last_exchanges = 6;
  // A read of operands from shared memory (29 clocks) and a synchronous instruction (24) in units
  // of the 18 clocks of an asynchronous one.
  tiling.links_per_instruction = 3;
  return tiling;
}

/// Masked multi-head attention: 256 threads, of which three CTAs fit the registers of an SM. Of
/// each element of K and V one conversion, one multiply-add and its share of loads, pages,
/// addresses and sums over lanes; FP8 is converted twice, at half rate (CUDA C++ programming guide,
/// throughput of native arithmetic instructions). The reads: lengths, the new token's row, its
/// rotation, the page and the tile of K, those of V. The barriers: queries to shared memory and
/// through their rotation, the new key's score, two for the maximum, two for the sum, one for the
/// scores; then the halving of partial outputs, two per step, by threads that hold 16 bytes of a
/// row of V each. NVIDIA/TensorRT-LLM decoderMaskedMultiheadAttentionTemplate.h.
AttentionTiling masked_multi_head_tiling(const AttentionKernel& shape) {
  AttentionTiling tiling;
  tiling.first_rounds = 7;
  tiling.rows = tiling.row_granule = 1;
  tiling.keys = 64;
  tiling.threads = 256;
  tiling.registers = 64;
  tiling.most_ctas = 3;
  tiling.per_query_head = true;
  tiling.issue_per_product = bytes_of(shape.kv) == 1 ? 9 : 6;
  tiling.first_exchanges = 5;
  const std::int64_t threads_per_row = ceil_div(shape.head_dim * bytes_of(shape.activations), 16);
  std::int64_t halvings = 0;
  while ((threads_per_row << halvings) < tiling.threads) ++halvings;
  tiling.last_exchanges = 5 + 2 * halvings;
  return tiling;
}

/// XQA's mha_sm90.cu, which rotates and narrows the queries of its heads itself, a few at a time.
AttentionTiling fp8_xqa_tiling(const AttentionKernel& shape) {
  const std::int64_t queries = ceil_div(shape.heads / shape.kv_heads, 8) * 8 * shape.head_dim;
  AttentionTiling tiling;
  tiling.rows_per_read = 16;
  tiling.row_granule = 16;
  tiling.first_rounds = 3 + queries / 512;
  tiling.most_ctas = queries > 2048 ? 1 : 2;
  return tiling;
}

/// trtllm-gen's decode kernels: warps of their own load, multiply, do softmax and correct, and hand
/// every turn on through barriers: keys, scores, probabilities, outputs and back. Two CTAs share an
/// SM where tensor memory and shared memory hold two tiles of up to 16 rows.
AttentionTiling blackwell_decode_tiling(const AttentionKernel& shape) {
  AttentionTiling tiling;
  tiling.rows_per_read = 16;
  tiling.row_granule = 16;
  tiling.first_rounds = 3;
  tiling.first_exchanges = 10;
  tiling.turn_exchanges = 2;
  tiling.last_exchanges = 6;
  tiling.most_ctas = shape.head_dim <= 128 && shape.heads / shape.kv_heads <= 16 ? 2 : 1;
  return tiling;
}

/// TensorRT-LLM uses its tensor-core decode kernels for groups of up to 32 heads, before Blackwell
/// (XQA) of at least two, and masked multi-head attention for others (decoderXQAImplJIT,
/// supportConfigCommon).
bool is_masked_multi_head(const GpuParams& params, const AttentionKernel& shape) {
  if (shape.library != AttentionLibrary::TensorRt) return false;
  const std::int64_t group = shape.heads / shape.kv_heads;
  return group > 32 || (group == 1 && !has_tensor_memory(params));
}

/// XQA on Hopper's warpgroup instructions, which it uses for FP8 caches only (supportConfigQGMMA).
bool is_fp8_xqa(const GpuParams& params, const AttentionKernel& shape) {
  return shape.library == AttentionLibrary::TensorRt && !is_masked_multi_head(params, shape) &&
         params.matrix_issue == MatrixIssue::Warpgroup && bytes_of(shape.kv) == 1;
}

AttentionTiling decode_tiling(const GpuParams& params, const AttentionKernel& shape) {
  if (is_masked_multi_head(params, shape)) return masked_multi_head_tiling(shape);
  if (has_tensor_memory(params)) return blackwell_decode_tiling(shape);
  if (is_fp8_xqa(params, shape)) return fp8_xqa_tiling(shape);
  if (shape.library == AttentionLibrary::TensorRt) return xqa_tiling(shape);
  if (params.matrix_issue != MatrixIssue::Warpgroup) return synchronous_tiling(shape);
  AttentionTiling tiling = flash3_tiling(shape);
  tiling.rows_per_read = 16;
  tiling.first_rounds = 3;
  tiling.rows = 64;
  tiling.vector_work = VectorWork::Lockstep;
  tiling.persistent = false;
  return tiling;
}

/// FlashAttention's num_splits_heuristic: the fewest splits that fill the waves of CTAs to 85 % of
/// what the best number of splits does. FlashAttention-2 asks for it only of those that change the
/// blocks per split (`skips_equal`).
std::int64_t flash_splits(std::int64_t runs, std::int64_t slots, std::int64_t blocks,
                          bool skips_equal) {
  if (static_cast<double>(runs) >= 0.8 * static_cast<double>(slots)) return 1;
  const std::int64_t most = std::min({std::int64_t{128}, slots, blocks});
  const auto efficiency = [&](std::int64_t splits) {
    const double waves = static_cast<double>(runs * splits) / static_cast<double>(slots);
    return waves / static_cast<double>(ceil_div(runs * splits, slots));
  };
  const auto is_new = [&](std::int64_t splits) {
    return !skips_equal || splits == 1 || ceil_div(blocks, splits) != ceil_div(blocks, splits - 1);
  };
  double best = 0;
  for (std::int64_t splits = 1; splits <= most; ++splits) {
    if (is_new(splits)) best = std::max(best, efficiency(splits));
  }
  for (std::int64_t splits = 1; splits <= most; ++splits) {
    if (is_new(splits) && efficiency(splits) >= 0.85 * best) return splits;
  }
  return 1;
}

}  // namespace

AttentionKernel of_framework(const GpuParams& params, AttentionKernel shape) {
  if (params.launches_tensorrt_attention) shape.library = AttentionLibrary::TensorRt;
  return shape;
}

bool packs_long_spans(const GpuParams& params, const AttentionKernel& shape) {
  return shape.cached && splits_by_share(params, shape);
}

bool goes_by_heads(const GpuParams& params, const AttentionKernel& shape) {
  return shape.library == AttentionLibrary::Flash && params.matrix_issue == MatrixIssue::Warp;
}

bool is_packed_span(const GpuParams& params, const AttentionKernel& shape, const QuerySpan& span) {
  // Fresh keys and values of every head are multiplied by the prefill kernel however few they are.
  if (!shape.cached) return false;
  const bool one_launch = shape.library == AttentionLibrary::Flash && !has_tensor_memory(params);
  return (one_launch ? longest_query(shape) : span.q_len) <= packed_queries;
}

AttentionTiling attention_tiling(const GpuParams& params, const AttentionKernel& shape,
                                 bool is_packed) {
  AttentionTiling tiling = is_packed ? decode_tiling(params, shape) : prefill_tiling(params, shape);
  // Queries and one turn of K and V must fit; wide elements and heads take smaller tiles.
  while (shared_bytes(shape, tiling, 1) > params.shared_memory.count() && tiling.keys > 16) {
    tiling.keys /= 2;
    if (tiling.rows > tiling.row_granule) tiling.rows /= 2;
  }
  while (shared_bytes(shape, tiling, 1) > params.shared_memory.count() && tiling.rows > 16) {
    tiling.rows /= 2;
    tiling.row_granule = std::min(tiling.row_granule, tiling.rows);
  }
  return tiling;
}

std::int64_t shared_bytes(const AttentionKernel& shape, const AttentionTiling& tiling,
                          std::int64_t stages) {
  const std::int64_t width = bytes_of(shape.activations);
  const std::int64_t turn =
      tiling.keys * (shape.head_dim + shape.value_width()) * bytes_of(shape.kv);
  return tiling.rows * shape.head_dim * width + stages * turn;
}

std::int64_t split_parts(const GpuParams& params, const AttentionKernel& shape,
                         const AttentionTiling& tiling, std::int64_t runs, std::int64_t keys) {
  const std::int64_t blocks = ceil_div(keys, tiling.keys);
  if (shape.library == AttentionLibrary::TensorRt && !has_tensor_memory(params)) {
    // At least 128 keys per CTA and at most eight waves (decoderXQAConstants.h).
    constexpr std::int64_t keys_per_part = 128, waves = 8;
    return std::max<std::int64_t>(1, std::min(keys / keys_per_part, params.sms * waves / runs));
  }
  if (has_tensor_memory(params)) {
    // trtllm-gen: one wave of CTAs.
    return std::clamp<std::int64_t>(params.sms / runs, 1, blocks);
  }
  // FlashAttention-2 splits only where it packs the heads of a group.
  if (shape.heads == shape.kv_heads) return 1;
  return flash_splits(runs, 2 * params.sms, blocks, true);
}

bool splits_by_share(const GpuParams& params, const AttentionKernel& shape) {
  return shape.library == AttentionLibrary::Flash && params.matrix_issue == MatrixIssue::Warpgroup;
}

std::int64_t share_of_sm(const GpuParams& params, std::int64_t runs, std::int64_t blocks) {
  return std::max<std::int64_t>(1, ceil_div(11 * blocks * runs, 10 * params.sms));
}

std::int64_t most_splits(const GpuParams& params, std::int64_t runs, std::int64_t blocks) {
  return blocks <= 4 ? 1 : flash_splits(runs, params.sms, blocks, false);
}

bool splits_whole_cache(const GpuParams& params, const AttentionKernel& shape) {
  return shape.library == AttentionLibrary::TensorRt && !has_tensor_memory(params) &&
         !is_fp8_xqa(params, shape);
}

bool appends_to_cache(const GpuParams& params, const AttentionKernel& shape) {
  return longest_query(shape) <= packed_queries &&
         (is_masked_multi_head(params, shape) || is_fp8_xqa(params, shape));
}

std::int64_t preparing_launches(const GpuParams& params, const AttentionKernel& shape,
                                bool is_packed) {
  if (shape.library != AttentionLibrary::TensorRt || shape.value_width() != shape.head_dim)
    return 0;
  if (has_tensor_memory(params)) return is_packed && is_masked_multi_head(params, shape) ? 0 : 1;
  if (is_packed || params.matrix_issue != MatrixIssue::Warpgroup) return 0;
  return is_short_hopper(shape) ? 0 : 1;
}

bool combines_apart(const GpuParams& params, const AttentionKernel& shape) {
  return shape.library == AttentionLibrary::Flash && !has_tensor_memory(params);
}

}  // namespace tandem::gpu
