// Closed forms of attention in its forms.
#include <algorithm>
#include <cstdint>

#include "sim/lower/kernel_work.hpp"
#include "sim/lower/kv_codec_work.hpp"

namespace tandem {

std::int64_t AttentionKernel::head_bytes_per_key() const {
  const std::int64_t sum = sums_keys ? work::float_bytes : 0;
  if (slots.is_coded()) return formats::slot_bytes(*slots.format, slots.head) + sum;
  return (head_dim + value_width()) * bytes_of(kv) + sum;
}

std::int64_t AttentionKernel::bytes_per_key() const {
  if (slots.is_coded()) return kv_heads * head_bytes_per_key();
  const std::int64_t sums = sums_keys ? kv_heads * work::float_bytes : 0;
  return (kv_heads * (head_dim - shared_key_dim + value_width()) + shared_key_dim) * bytes_of(kv) +
         sums;
}

std::int64_t LatentAttentionKernel::bytes_per_key() const {
  const std::int64_t sum = sums_keys ? work::float_bytes : 0;
  return sum + (slots.is_coded() ? slots.bytes_per_token() : (kv_rank + rope_dim) * bytes_of(kv));
}

}  // namespace tandem

namespace tandem::work {
namespace {

/// Sum of 1 + 2 + ... + n.
std::int64_t triangle(std::int64_t n) {
  return n > 0 ? n * (n + 1) / 2 : 0;
}

/// Keys that at least one query sees: each is read once whatever the sharing of KV heads.
std::int64_t visible_keys(const AttentionKernel& shape, const QuerySpan& span) {
  if (span.q_len == 0) return 0;
  if (shape.window == 0) return span.kv_len;
  if (!shape.causal) return std::min(span.kv_len, shape.window);
  return std::min(span.kv_len, span.q_len + shape.window - 1);
}

/// Per pair of query head and key the score once more, its scale, the subtraction of the row's
/// maximum, an exponential, the product with 1 / sum and the addition; a comparison per sum
/// chooses.
void add_key_sums(std::int64_t pairs, std::int64_t key_width, std::int64_t sums, KernelWork& work) {
  work.matrix += Flops(2 * key_width * pairs);
  work.vector += Flops(4 * pairs + sums);
  work.special += Flops(pairs);
  work.write_bytes += Bytes(sums * float_bytes);
}

void add(const CodecWork& codec, KernelWork& work) {
  work.vector += Flops(codec.vector);
  work.special += Flops(codec.special);
}

/// Scale, maximum, subtract and add per pair and head, and one exponential; per row the product
/// with 1 / sum and the division that makes it.
void add_softmax(std::int64_t heads, std::int64_t pairs, std::int64_t rows, std::int64_t row_width,
                 KernelWork& work) {
  work.vector += Flops(4 * heads * pairs + rows * row_width);
  work.special += Flops(heads * pairs + rows);
}

}  // namespace

std::int64_t visible_pairs(const QuerySpan& span, std::int64_t limit, bool causal) {
  const std::int64_t window = limit > 0 ? limit : span.kv_len;
  if (!causal) return span.q_len * std::min(span.kv_len, window);
  // Keys seen without a window run from kv - q + 1 to kv, one more for each query.
  const std::int64_t first = span.earlier();
  const std::int64_t full = triangle(span.kv_len) - triangle(first);
  // Those that see more than the window lose the excess: the same sum, shifted by the window.
  return full - (triangle(span.kv_len - window) - triangle(first - window));
}

/// Per visible pair and head: 2 head_dim for the score, 2 value_dim for the weighted sum of V, and
/// the softmax. A sink costs each row a comparison, a subtraction, an exponential and an addition;
/// a soft cap each score two multiplies and a tanh. Keys and values are read once per KV head,
/// and decoded once where they are stored as slots.
KernelWork of(const AttentionKernel& shape, std::int64_t) {
  KernelWork work;
  std::int64_t pairs = 0;
  std::int64_t queries = 0;
  std::int64_t keys = 0;
  for (const QuerySpan& span : shape.spans) {
    pairs += visible_pairs(span, shape.window, shape.causal);
    queries += span.q_len;
    keys += visible_keys(shape, span);
  }
  const std::int64_t rows = queries * shape.heads;
  const std::int64_t value = shape.value_width();
  const std::int64_t width = bytes_of(shape.activations);
  work.matrix = Flops(2 * shape.heads * (shape.head_dim + value) * pairs);
  add_softmax(shape.heads, pairs, rows, value, work);
  if (shape.sinks) {
    work.vector += Flops(3 * rows);
    work.special += Flops(rows);
    work.weight_bytes = Bytes(shape.heads * width);
  }
  if (shape.softcap) {
    work.vector += Flops(2 * shape.heads * pairs);
    work.special += Flops(shape.heads * pairs);
  }
  add(decode_work(shape.slots) * (keys * shape.kv_heads) + turn_work(shape.slots) * rows, work);
  work.read_bytes = Bytes(rows * shape.head_dim * width + keys * shape.bytes_per_key());
  work.write_bytes = Bytes(rows * value * width);
  if (shape.sums_keys) {
    add_key_sums(shape.heads * pairs, shape.head_dim, keys * shape.kv_heads, work);
  }
  return work;
}

/// Per visible pair and head: 2 (kv_rank + rope_dim) for the score q~ . c + q_r . k_r and 2 kv_rank
/// for the sum of latents, 2 heads (2 kv_rank + rope_dim) in all (deepseek-ai/DeepSeek-V3@9b4e978
/// inference/model.py, MLA "absorb"). Each cached row of kv_rank + rope_dim elements is read once
/// for all heads. With a selection, at least as many rows are read as the last query sees.
KernelWork of(const LatentAttentionKernel& shape, std::int64_t) {
  KernelWork work;
  std::int64_t pairs = 0;
  std::int64_t queries = 0;
  std::int64_t keys = 0;
  for (const QuerySpan& span : shape.spans) {
    pairs += visible_pairs(span, shape.selected, true);
    queries += span.q_len;
    keys += shape.selected > 0 ? std::min(span.kv_len, shape.selected) : span.kv_len;
  }
  const std::int64_t rows = queries * shape.heads;
  const std::int64_t cached = shape.kv_rank + shape.rope_dim;
  const std::int64_t width = bytes_of(shape.activations);
  const std::int64_t q_width = bytes_of(shape.query_type());
  work.matrix = Flops(2 * shape.heads * (shape.kv_rank + cached) * pairs);
  add_softmax(shape.heads, pairs, rows, shape.kv_rank, work);
  const std::int64_t choices =
      shape.selected > 0 ? index_bytes * pairs : 0;  // which rows: one number per pair
  add(decode_work(shape.slots) * keys, work);
  work.read_bytes = Bytes(rows * cached * q_width + keys * shape.bytes_per_key() + choices);
  work.write_bytes = Bytes(rows * shape.kv_rank * width);
  if (shape.sums_keys) add_key_sums(shape.heads * pairs, cached, keys, work);
  return work;
}

/// score[t] = sum over heads of w relu(q . k[t]): per pair and head 2 head_dim for the product, and
/// relu, multiply and add; per pair one comparison of the choice (DeepSeek-V3.2-Exp report, eq. 1).
KernelWork of(const IndexerKernel& shape, std::int64_t) {
  KernelWork work;
  std::int64_t pairs = 0;
  std::int64_t chosen = 0;
  std::int64_t queries = 0;
  std::int64_t keys = 0;
  for (const QuerySpan& span : shape.spans) {
    pairs += visible_pairs(span, 0, true);
    chosen += visible_pairs(span, shape.top_k, true);
    queries += span.q_len;
    keys += span.kv_len;
  }
  work.matrix = Flops(2 * shape.heads * shape.head_dim * pairs);
  work.vector = Flops((3 * shape.heads + 1) * pairs);
  const std::int64_t per_query = shape.heads * (shape.head_dim + 1);  // q and the heads' weights
  work.read_bytes = Bytes(queries * per_query * bytes_of(shape.activations) +
                          keys * shape.head_dim * bytes_of(shape.kv));
  work.write_bytes = Bytes(chosen * index_bytes);
  return work;
}

}  // namespace tandem::work
