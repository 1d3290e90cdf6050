// Attention over grouped query heads, with the kernels that frameworks run before it.
#include <fmt/format.h>

#include "sim/entry/rows/operators.hpp"

namespace tandem::entry {
namespace {

AttentionKernel read_shape(RowReader& row, const Software& software) {
  AttentionKernel shape;
  shape.heads = row.integer("heads", 1);
  shape.kv_heads = row.integer("kv_heads", 1);
  if (shape.heads % shape.kv_heads != 0) {
    row.refuse("kv_heads", fmt::format("'kv_heads' is {}; it must divide 'heads', {}",
                                       shape.kv_heads, shape.heads));
  }
  shape.head_dim = row.integer("head_dim", 1, 128);
  shape.window = row.integer("window", 0, 0);
  shape.causal = row.integer("causal", 0, 1) != 0;
  shape.activations = row.element("dtype", ElementType::Bfloat16);
  shape.kv = row.element("kv_dtype", shape.activations);
  if (software_value(software, "tensorrt_attention", 0) != 0) {
    shape.library = AttentionLibrary::TensorRt;
  }
  return shape;
}

/// The kernel that writes new keys and values to the cache before attention reads them, and where
/// the framework fuses it so, rotates queries and keys on the way.
void add_cache_write(const AttentionKernel& shape, ElementType cached, const Software& software,
                     std::vector<Kernel>& kernels) {
  const bool rotates = software_value(software, "attention_preprocess", 0) != 0;
  if (!rotates && software_value(software, "attention_cache_write", 0) == 0) return;
  RopeKernel rope;
  for (const QuerySpan& span : shape.spans) rope.tokens += span.q_len;
  rope.heads = shape.heads;
  rope.kv_heads = shape.kv_heads;
  rope.head_dim = shape.head_dim;
  rope.kv = cached;
  if (!rotates) rope.rotated = 0;
  // Queries and keys arrive as the projection leaves them, whatever attention computes in.
  kernels.push_back({"cache_write", -1, ElementType::Bfloat16, rope, {}});
}

std::vector<Kernel> run_of(const AttentionKernel& shape, const char* role, bool writes_cache,
                           ElementType cached, const Software& software) {
  std::vector<Kernel> kernels;
  if (writes_cache) add_cache_write(shape, cached, software, kernels);
  Kernel kernel;
  kernel.role = role;
  kernel.activations = shape.activations;
  kernel.shape = shape;
  kernels.push_back(kernel);
  return kernels;
}

void add_spans(RowReader& row, QuerySpan span, AttentionKernel& shape) {
  shape.spans.insert(shape.spans.end(), static_cast<std::size_t>(row.batch()), span);
}

std::vector<Kernel> grouped_prefill(RowReader& row, const Software& software) {
  AttentionKernel shape = read_shape(row, software);
  const QuerySpan span{row.integer("q_len", 1), row.integer("kv_len", 1)};
  add_spans(row, span, shape);
  // TensorRT-LLM reads the keys of a first pass from the projection's output, not from the cache.
  const bool is_first_pass = span.q_len == span.kv_len;
  const ElementType cached = shape.kv;
  if (is_first_pass && shape.library == AttentionLibrary::TensorRt) {
    shape.kv = shape.activations;
    shape.cached = false;
  }
  // A framework that only writes the cache does so for prefill outside the measured operator.
  const bool preprocesses = software_value(software, "attention_preprocess", 0) != 0;
  std::vector<Kernel> kernels = run_of(shape, "attention_prefill", preprocesses, cached, software);
  if (software_value(software, "prefill_lengths_kernel", 0) == 0) return kernels;
  const ElementwiseKernel lengths{ElementwiseKind::Add,
                                  static_cast<std::int64_t>(shape.spans.size()), 1};
  kernels.insert(kernels.begin(), {"sequence_lengths", -1, ElementType::Bfloat16, lengths, {}});
  return kernels;
}

std::vector<Kernel> grouped_decode(RowReader& row, const Software& software) {
  AttentionKernel shape = read_shape(row, software);
  add_spans(row, {row.integer("q_len", 1, 1), row.integer("kv_len", 1)}, shape);
  return run_of(shape, "attention_decode", true, shape.kv, software);
}

/// One launch with a chunk of one prompt and one query each of `batch` others.
std::vector<Kernel> mixed(RowReader& row, const Software& software) {
  AttentionKernel shape = read_shape(row, software);
  shape.spans.push_back({row.integer("q_len", 1), row.integer("kv_len_prefill", 1)});
  add_spans(row, {1, row.integer("kv_len_decode", 1)}, shape);
  return run_of(shape, "attention_mixed", false, shape.kv, software);
}

}  // namespace

std::vector<RowOperator> attention_operators() {
  const std::vector<std::string> mixed_columns = {"q_len",         "kv_len_prefill", "batch",
                                                  "kv_len_decode", "heads",          "kv_heads"};
  return {{"attention_prefill",
           {"batch", "q_len", "kv_len", "heads", "kv_heads"},
           grouped_prefill,
           true},
          {"attention_decode", {"batch", "kv_len", "heads", "kv_heads"}, grouped_decode, true},
          {"attention_mixed", mixed_columns, mixed, true}};
}

}  // namespace tandem::entry
