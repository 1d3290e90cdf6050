// Closed forms of what each kernel must do. Counting rules, the same for every chip: a multiply-add
// is two operations; adds, multiplies and comparisons of element-wise work one each; exponentials,
// divisions and square roots are special.
#include "sim/lower/kernel.hpp"

#include <algorithm>

#include "sim/core/hash.hpp"

namespace tandem {
namespace {

template <class... Handlers>
struct Overloaded : Handlers... {
  using Handlers::operator()...;
};
template <class... Handlers>
Overloaded(Handlers...) -> Overloaded<Handlers...>;

constexpr std::int64_t token_id_bytes = 4;

KernelWork embedding_work(const EmbeddingKernel& shape, std::int64_t width) {
  KernelWork work;
  const std::int64_t rows = shape.tokens * shape.hidden * width;
  work.read_bytes = Bytes(rows + shape.tokens * token_id_bytes);
  work.write_bytes = Bytes(rows);
  return work;
}

/// Per element: square, add, times 1 / rms, times weight; per row one reciprocal square root.
KernelWork norm_work(const NormKernel& shape, std::int64_t width) {
  KernelWork work;
  const std::int64_t elements = shape.tokens * shape.hidden;
  work.vector = Flops(4 * elements);
  work.special = Flops(shape.tokens);
  work.weight_bytes = Bytes(shape.hidden * width);
  work.read_bytes = Bytes(elements * width);
  work.write_bytes = Bytes(elements * width);
  return work;
}

KernelWork gemm_work(const GemmKernel& shape) {
  KernelWork work;
  const std::int64_t width = bytes_of(shape.activations);
  const std::int64_t result = shape.m * shape.n;
  work.matrix = Flops(2 * result * shape.k);
  work.vector = Flops(shape.adds_residual ? result : 0);
  work.weight_bytes = Bytes(shape.n * shape.k * bytes_of(shape.weights));
  work.read_bytes = Bytes((shape.m * shape.k + (shape.adds_residual ? result : 0)) * width);
  work.write_bytes = Bytes(result * width);
  return work;
}

/// Per rotated pair four multiplies and two adds. K and V leave in the cache's type, q in place.
KernelWork rope_work(const RopeKernel& shape, std::int64_t width) {
  KernelWork work;
  const std::int64_t q = shape.tokens * shape.heads * shape.head_dim;
  const std::int64_t k = shape.tokens * shape.kv_heads * shape.head_dim;
  work.vector = Flops(3 * (q + k));
  work.read_bytes = Bytes((q + 2 * k) * width);
  work.write_bytes = Bytes(q * width + 2 * k * bytes_of(shape.kv));
  return work;
}

/// Sum of 1 + 2 + ... + n.
std::int64_t triangle(std::int64_t n) {
  return n > 0 ? n * (n + 1) / 2 : 0;
}

/// (query, key) pairs that count. Query i of q stands at position kv - q + i and sees the last
/// min(position + 1, window) keys up to its own; without a causal mask every query sees every key,
/// at most `window` of them.
std::int64_t visible_pairs(const AttentionKernel& shape, const AttentionKernel::Span& span) {
  const std::int64_t window = shape.window > 0 ? shape.window : span.kv_len;
  if (!shape.causal) {
    return span.q_len * std::min(span.kv_len, window);
  }
  // Keys seen without a window run from kv - q + 1 to kv, one more for each query.
  const std::int64_t first = std::max<std::int64_t>(span.kv_len - span.q_len, 0);
  const std::int64_t full = triangle(span.kv_len) - triangle(first);
  // Those that see more than the window lose the excess: the same sum, shifted by the window.
  return full - (triangle(span.kv_len - window) - triangle(first - window));
}

/// Keys that at least one query sees: each is read once whatever the sharing of KV heads.
std::int64_t visible_keys(const AttentionKernel& shape, const AttentionKernel::Span& span) {
  if (span.q_len == 0) {
    return 0;
  }
  if (shape.window == 0) {
    return span.kv_len;
  }
  if (!shape.causal) {
    return std::min(span.kv_len, shape.window);
  }
  return std::min(span.kv_len, span.q_len + shape.window - 1);
}

/// Per visible pair: 2 head_dim for the score, 2 head_dim for the weighted sum of V, and for the
/// softmax scale, maximum, subtract, add and one exponential; per query a division of its row.
KernelWork attention_work(const AttentionKernel& shape) {
  KernelWork work;
  std::int64_t pairs = 0;
  std::int64_t queries = 0;
  std::int64_t keys = 0;
  for (const AttentionKernel::Span& span : shape.spans) {
    pairs += visible_pairs(shape, span);
    queries += span.q_len;
    keys += visible_keys(shape, span);
  }
  const std::int64_t rows = queries * shape.heads;
  work.matrix = Flops(4 * shape.heads * shape.head_dim * pairs);
  work.vector = Flops(4 * shape.heads * pairs + rows * shape.head_dim);
  work.special = Flops(shape.heads * pairs + rows);
  const std::int64_t q_bytes = rows * shape.head_dim * bytes_of(shape.activations);
  work.read_bytes =
      Bytes(q_bytes + 2 * keys * shape.kv_heads * shape.head_dim * bytes_of(shape.kv));
  work.write_bytes = Bytes(q_bytes);
  return work;
}

/// silu(g) * u = g * (1 / (1 + e^-g)) * u: an add and two multiplies, an exponential and a
/// division.
KernelWork activation_work(const ActivationKernel& shape, std::int64_t width) {
  KernelWork work;
  const std::int64_t elements = shape.tokens * shape.intermediate;
  work.vector = Flops(3 * elements);
  work.special = Flops(2 * elements);
  work.read_bytes = Bytes(2 * elements * width);
  work.write_bytes = Bytes(elements * width);
  return work;
}

/// The least any sampler does: look at every logit once.
KernelWork sample_work(const SampleKernel& shape, std::int64_t width) {
  KernelWork work;
  work.vector = Flops(shape.tokens * shape.vocabulary);
  work.read_bytes = Bytes(shape.tokens * shape.vocabulary * width);
  work.write_bytes = Bytes(shape.tokens * token_id_bytes);
  return work;
}

}  // namespace

KernelWork work_of(const Kernel& kernel) {
  const std::int64_t width = bytes_of(kernel.activations);
  return std::visit(
      Overloaded{[&](const EmbeddingKernel& shape) { return embedding_work(shape, width); },
                 [&](const NormKernel& shape) { return norm_work(shape, width); },
                 [&](const GemmKernel& shape) { return gemm_work(shape); },
                 [&](const RopeKernel& shape) { return rope_work(shape, width); },
                 [&](const AttentionKernel& shape) { return attention_work(shape); },
                 [&](const ActivationKernel& shape) { return activation_work(shape, width); },
                 [&](const SampleKernel& shape) { return sample_work(shape, width); }},
      kernel.shape);
}

std::uint64_t key_of(const Kernel& kernel) {
  Hasher hash;
  hash.add(kernel.shape.index()).add(kernel.activations);
  std::visit(Overloaded{[&](const EmbeddingKernel& s) { hash.add(s.tokens).add(s.hidden); },
                        [&](const NormKernel& s) { hash.add(s.tokens).add(s.hidden); },
                        [&](const GemmKernel& s) {
                          hash.add(s.m).add(s.n).add(s.k);
                          hash.add(s.weights).add(s.activations).add(s.adds_residual);
                        },
                        [&](const RopeKernel& s) {
                          hash.add(s.tokens).add(s.heads).add(s.kv_heads).add(s.head_dim).add(s.kv);
                        },
                        [&](const AttentionKernel& s) {
                          hash.add(s.spans.size());
                          for (const AttentionKernel::Span& span : s.spans) {
                            hash.add(span.q_len).add(span.kv_len);
                          }
                          hash.add(s.heads).add(s.kv_heads).add(s.head_dim).add(s.window);
                          hash.add(s.causal).add(s.activations).add(s.kv);
                        },
                        [&](const ActivationKernel& s) { hash.add(s.tokens).add(s.intermediate); },
                        [&](const SampleKernel& s) { hash.add(s.tokens).add(s.vocabulary); }},
             kernel.shape);
  return hash.value();
}

}  // namespace tandem
