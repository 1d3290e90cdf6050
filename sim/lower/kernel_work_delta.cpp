// Closed forms of gated delta layers (Yang et al., arXiv 2412.06464; forms as in
// fla-org/flash-linear-attention@bc3b101d fla/ops/gated_delta_rule).
#include <algorithm>
#include <cstdint>

#include "sim/lower/kernel_work.hpp"

namespace tandem::work {
namespace {

/// One head, one token: S <- e^g S (key value multiplies), S^T k, delta = beta (v - S^T k), S <- S
/// + k delta^T, S^T q. Three products of key by value; about 7 key value in all.
KernelWork recurrent_token(std::int64_t key, std::int64_t value) {
  KernelWork work;
  work.matrix = Flops(6 * key * value);
  work.vector = Flops(key * value + 2 * value);
  work.special = Flops(1);
  return work;
}

/// One head, one chunk of c tokens; squares count whole, as they fill whole matrix tiles. Products:
/// K K^T, Q K^T and W = T (..) of 2 c^2 key each; U = T (..) and the last sum over V' of 2 c^2
/// value each; W S, Q S and K^T V' of 2 c key value each; T = (I + A)^-1 by forward substitution,
/// (c^3 - c) / 3. Per token 6 c key + 4 c value + 6 key value + c^2 / 3.
/// Vector: running sums of g (c); per pair j < i the difference G_i - G_j, two factors on A and one
/// on Q K^T; beta v (c value); beta e^G (c) and its product with k, e^G with q, e^(G_c - G) with k
/// (c key each), the c differences G_c - G; S e^(G_c). Exponentials: per pair, e^G, e^(G_c - G).
KernelWork chunk_work(std::int64_t c, std::int64_t key, std::int64_t value) {
  KernelWork work;
  const std::int64_t pairs = c * (c - 1) / 2;
  work.matrix =
      Flops(6 * c * c * key + 4 * c * c * value + 6 * c * key * value + (c * c * c - c) / 3);
  work.vector = Flops(4 * pairs + c * (3 + value + 3 * key) + key * value);
  work.special = Flops(pairs + 2 * c);
  return work;
}

/// One head, one chunk of c tokens of the state-space scan. Products, squares whole: (decay C B^T)
/// X of 2 c^2 value, B^T X and C S of 2 c key value each (C B^T belongs to the group). Vector: dt +
/// bias, 1 + e^, A dt and its running sum (c each); per pair j <= i a difference and factors for
/// the decay and dt_j; for the chunk's state c differences, products with dt, and scales of B (c
/// key); S e^a + own state (2 key value); e^a C S, its sum with the rest, D x and its sum (c value
/// each). Exponentials: softplus (2 c), pairs, both decays to the chunk's ends (c each), the
/// state's.
KernelWork scan_work(std::int64_t c, std::int64_t key, std::int64_t value) {
  KernelWork work;
  const std::int64_t pairs = c * (c + 1) / 2;
  work.matrix = Flops(2 * c * c * value + 4 * c * key * value);
  work.vector = Flops(4 * c + 3 * pairs + c * (2 + key) + 2 * key * value + 4 * c * value);
  work.special = Flops(4 * c + pairs + 1);
  return work;
}

KernelWork times(KernelWork work, std::int64_t count) {
  work.matrix = work.matrix * count;
  work.vector = work.vector * count;
  work.special = work.special * count;
  return work;
}

}  // namespace

/// Per channel and token `taps` multiply-adds and silu (add, multiply; exponential, division). A
/// sequence with a context reads its taps - 1 last inputs; of the new ones min(tokens, taps - 1)
/// replace state. Source: huggingface/transformers modular_qwen3_next.py.
KernelWork of(const ShortConvolutionKernel& shape, std::int64_t width) {
  KernelWork work;
  std::int64_t tokens = 0;
  std::int64_t state_read = 0;
  std::int64_t state_written = 0;
  for (const QuerySpan& span : shape.spans) {
    tokens += span.q_len;
    state_read += span.earlier() > 0 ? shape.taps - 1 : 0;
    state_written += std::min(span.q_len, shape.taps - 1);
  }
  const std::int64_t elements = tokens * shape.channels;
  work.vector = Flops((2 * shape.taps + 2) * elements);
  work.special = Flops(2 * elements);
  work.weight_bytes = Bytes(shape.channels * shape.taps * width);
  work.read_bytes = Bytes((elements + state_read * shape.channels) * width);
  work.write_bytes = Bytes((elements + state_written * shape.channels) * width);
  return work;
}

/// Per value head: beta = sigmoid(b): add; exponential, division. g = -e^A_log softplus(a +
/// dt_bias): add; exponential, add, logarithm; multiply; e^A_log once per head. Per element of q
/// and k: square, add, multiply; per head one reciprocal square root.
KernelWork of(const DeltaGateKernel& shape, std::int64_t width) {
  KernelWork work;
  const std::int64_t gates = shape.tokens * shape.value_heads;
  const std::int64_t rows = 2 * shape.tokens * shape.key_heads;
  const std::int64_t elements = rows * shape.key_dim;
  work.vector = Flops(4 * gates + 3 * elements);
  work.special = Flops(4 * gates + rows + shape.value_heads);
  work.weight_bytes = Bytes(2 * shape.value_heads * width);
  work.read_bytes = Bytes((2 * gates + elements) * width);
  work.write_bytes = Bytes(elements * width + 2 * gates * float_bytes);
  return work;
}

KernelWork of(const GatedDeltaKernel& shape, std::int64_t width) {
  const ops::GatedDeltaShape& s = shape.shape;
  KernelWork work;
  std::int64_t tokens = 0;
  std::int64_t states_read = 0;
  std::int64_t states_written = 0;
  for (const QuerySpan& span : shape.spans) {
    tokens += span.q_len;
    states_read += span.earlier() > 0 ? 1 : 0;
    if (shape.phase == DeltaPhase::Recurrent) {
      // Of several tokens, those of a round of drafts, any prefix may be kept: a state for each.
      states_written += span.q_len;
      work += times(recurrent_token(s.key_dim, s.value_dim), s.value_heads * span.q_len);
      continue;
    }
    states_written += span.q_len > 0 ? 1 : 0;
    const std::int64_t whole = s.value_heads * (span.q_len / s.chunk);
    work += times(chunk_work(s.chunk, s.key_dim, s.value_dim), whole);
    if (const std::int64_t tail = span.q_len % s.chunk; tail > 0) {
      work += times(chunk_work(tail, s.key_dim, s.value_dim), s.value_heads);
    }
  }
  const std::int64_t state = s.state_elements() * float_bytes;
  const std::int64_t qk = 2 * tokens * s.key_heads * s.key_dim;
  const std::int64_t v = tokens * s.value_width();
  work.read_bytes =
      Bytes((qk + v) * width + 2 * tokens * s.value_heads * float_bytes + states_read * state);
  work.write_bytes = Bytes(v * width + states_written * state);
  return work;
}

/// C B^T of 2 c^2 key per group and chunk, and scan_work per head. Reads x, dt, B and C; A, D and
/// the bias of dt are float per head.
KernelWork of(const StateSpaceScanKernel& shape, std::int64_t width) {
  KernelWork work;
  std::int64_t tokens = 0;
  std::int64_t states_read = 0;
  std::int64_t states_written = 0;
  const auto add_chunks = [&](std::int64_t length, std::int64_t count) {
    work += times(scan_work(length, shape.state_dim, shape.head_dim), shape.heads * count);
    work.matrix += Flops(2 * length * length * shape.state_dim * shape.groups * count);
  };
  for (const QuerySpan& span : shape.spans) {
    tokens += span.q_len;
    states_read += span.earlier() > 0 ? 1 : 0;
    states_written += span.q_len > 0 ? 1 : 0;
    add_chunks(shape.chunk, span.q_len / shape.chunk);
    if (const std::int64_t tail = span.q_len % shape.chunk; tail > 0) add_chunks(tail, 1);
  }
  const std::int64_t state = shape.heads * shape.head_dim * shape.state_dim * float_bytes;
  const std::int64_t rows = tokens * shape.heads * shape.head_dim;
  work.weight_bytes = Bytes(tokens > 0 ? 3 * shape.heads * float_bytes : 0);
  work.read_bytes =
      Bytes((rows + tokens * (shape.heads + 2 * shape.groups * shape.state_dim)) * width +
            states_read * state);
  work.write_bytes = Bytes(rows * width + states_written * state);
  return work;
}

}  // namespace tandem::work
