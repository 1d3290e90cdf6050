// What a kernel reads that lay in memory before its pass began.
#include <algorithm>
#include <cstdint>
#include <variant>

#include "sim/lower/floor.hpp"

namespace tandem {
namespace {

constexpr std::int64_t float_bytes = 4;

/// Kernels that read neither a cache nor a state.
template <class Shape>
std::int64_t cached_bytes(const Shape&, std::int64_t) {
  return 0;
}

std::int64_t cached_bytes(const CacheReadKernel& shape, std::int64_t) {
  return shape.slots.is_coded() ? shape.rows * shape.slots.bytes_per_token()
                                : shape.rows * shape.width * bytes_of(shape.kv);
}

std::int64_t cached_bytes(const AttentionKernel& shape, std::int64_t) {
  if (!shape.cached) return 0;
  std::int64_t rows = 0;
  for (const QuerySpan& span : shape.spans) {
    std::int64_t earlier = span.earlier();
    if (shape.window > 0 && shape.causal) {
      earlier = std::min(earlier, shape.window - 1);  // what the first query still sees
    } else if (shape.window > 0) {
      earlier = std::min(earlier, shape.window);
    }
    rows += earlier;
  }
  return rows * shape.bytes_per_key();
}

/// With a selection, the last query sees at least so many keys that are not new.
std::int64_t cached_bytes(const LatentAttentionKernel& shape, std::int64_t) {
  std::int64_t rows = 0;
  for (const QuerySpan& span : shape.spans) {
    const std::int64_t seen =
        shape.selected > 0 ? std::min(span.kv_len, shape.selected) : span.kv_len;
    rows += std::max<std::int64_t>(seen - span.q_len, 0);
  }
  return rows * shape.bytes_per_key();
}

std::int64_t cached_bytes(const IndexerKernel& shape, std::int64_t) {
  std::int64_t rows = 0;
  for (const QuerySpan& span : shape.spans) rows += span.earlier();
  return rows * shape.head_dim * bytes_of(shape.kv);
}

std::int64_t cached_bytes(const ShortConvolutionKernel& shape, std::int64_t width) {
  std::int64_t rows = 0;
  for (const QuerySpan& span : shape.spans) rows += span.earlier() > 0 ? shape.taps - 1 : 0;
  return rows * shape.channels * width;
}

std::int64_t cached_bytes(const StateSpaceScanKernel& shape, std::int64_t) {
  std::int64_t states = 0;
  for (const QuerySpan& span : shape.spans) states += span.earlier() > 0 ? 1 : 0;
  return states * shape.heads * shape.head_dim * shape.state_dim * float_bytes;
}

std::int64_t cached_bytes(const GatedDeltaKernel& shape, std::int64_t) {
  std::int64_t states = 0;
  for (const QuerySpan& span : shape.spans) states += span.earlier() > 0 ? 1 : 0;
  return states * shape.shape.state_elements() * float_bytes;
}

}  // namespace

Bytes resident_bytes(const Kernel& kernel) {
  const std::int64_t width = bytes_of(kernel.activations);
  const Bytes cached(
      std::visit([&](const auto& shape) { return cached_bytes(shape, width); }, kernel.shape));
  return kernel.repeats_weights ? cached : work_of(kernel).weight_bytes + cached;
}

}  // namespace tandem
