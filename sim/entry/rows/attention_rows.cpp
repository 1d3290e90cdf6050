// Attention over grouped query heads.
#include <algorithm>

#include "sim/entry/rows/operators.hpp"

namespace tandem::entry {
namespace {

std::vector<Kernel> attention(RowReader& row, bool is_decode) {
  AttentionKernel shape;
  const std::int64_t batch = row.integer("batch", 1);
  AttentionKernel::Span span;
  span.kv_len = row.integer("kv_len", 1);
  span.q_len = is_decode ? row.integer("q_len", 1, 1) : row.integer("q_len", 1);
  shape.spans.assign(static_cast<std::size_t>(std::min<std::int64_t>(batch, 1 << 20)), span);
  shape.heads = row.integer("heads", 1);
  shape.kv_heads = row.integer("kv_heads", 1);
  shape.head_dim = row.integer("head_dim", 1, 128);
  shape.window = row.integer("window", 0, 0);
  shape.causal = row.integer("causal", 0, 1) != 0;
  shape.activations = row.element("dtype", ElementType::Bfloat16);
  shape.kv = row.element("kv_dtype", shape.activations);
  Kernel kernel;
  kernel.role = is_decode ? "attention_decode" : "attention_prefill";
  kernel.activations = shape.activations;
  kernel.shape = shape;
  return {kernel};
}

std::vector<Kernel> prefill(RowReader& row, const Software&) {
  return attention(row, false);
}
std::vector<Kernel> decode(RowReader& row, const Software&) {
  return attention(row, true);
}

}  // namespace

std::vector<RowOperator> attention_operators() {
  return {{"attention_prefill", {"batch", "q_len", "kv_len", "heads", "kv_heads"}, prefill},
          {"attention_decode", {"batch", "kv_len", "heads", "kv_heads"}, decode}};
}

}  // namespace tandem::entry
