// Latent attention: the kernels between the projections, and whole modules.
#include <algorithm>

#include "sim/entry/rows/operators.hpp"

namespace tandem::entry {
namespace {

/// Dimensions of latent attention; DeepSeek-V3's where a row does not say.
struct LatentRow {
  std::int64_t heads = 0, kv_rank = 0, rope_dim = 0, nope_dim = 0, value_dim = 0;
  std::vector<QuerySpan> spans;
  ElementType activations = ElementType::Bfloat16;
  ElementType kv = ElementType::Bfloat16;
  [[nodiscard]] std::int64_t tokens() const {
    return static_cast<std::int64_t>(spans.size()) * spans.front().q_len;
  }
  [[nodiscard]] bool is_quantised() const { return bytes_of(kv) < bytes_of(activations); }
};

LatentRow read_latent(RowReader& row, bool is_decode) {
  LatentRow read;
  read.heads = row.integer("heads", 1);
  read.kv_rank = row.integer("kv_lora", 1, 512);
  read.rope_dim = row.integer("rope_dim", 2, 64);
  read.nope_dim = row.integer("nope_dim", 1, 128);
  read.value_dim = row.integer("v_dim", 1, 128);
  QuerySpan span;
  span.kv_len = row.integer("kv_len", 1);
  span.q_len = is_decode ? row.integer("q_len", 1, 1) : row.integer("q_len", 1);
  read.spans.assign(static_cast<std::size_t>(row.batch()), span);
  read.activations = row.element("dtype", ElementType::Bfloat16);
  read.kv = row.element("kv_dtype", read.activations);
  return read;
}

/// Rotation and cache write. Naive attention gives every head a copy of the rotated key.
Kernel rope(const LatentRow& row, bool is_absorbed) {
  RopeKernel shape{row.tokens(), row.heads, 1, row.rope_dim, row.kv};
  shape.values = false;
  shape.extra = row.kv_rank;
  if (!is_absorbed) {
    shape.key_copies = row.heads;
  } else if (row.is_quantised()) {
    shape.queries = row.kv;
    shape.carried = row.kv_rank;
  }
  return {"rope", -1, row.activations, shape, {}};
}

Kernel absorbed_attention(const LatentRow& row, std::int64_t selected, const Software& software) {
  LatentAttentionKernel shape{row.spans, row.heads,       row.kv_rank, row.rope_dim,
                              selected,  row.activations, row.kv,      {}};
  shape.deal_kernel = software_value(software, "latent_deal_kernel", 0) != 0;
  if (row.is_quantised()) shape.queries = row.kv;
  return {"latent_attention", -1, row.activations, shape, {}};
}

Kernel naive_attention(const LatentRow& row, const Software& software) {
  AttentionKernel shape;
  shape.spans = row.spans;
  shape.heads = shape.kv_heads = row.heads;
  shape.head_dim = row.nope_dim + row.rope_dim;
  shape.value_dim = row.value_dim;
  // With a quantised cache the products are quantised too.
  shape.activations = shape.kv = row.is_quantised() ? row.kv : row.activations;
  shape.cached = false;
  if (software_value(software, "tensorrt_attention", 0) != 0) {
    shape.library = AttentionLibrary::TensorRt;
  }
  return {"attention", -1, shape.activations, shape, {}};
}

/// Queries, keys and values of all heads to the cache's type.
Kernel quantise_inputs(const LatentRow& row) {
  const auto& known = formats::precisions();
  const auto fp8 = std::find_if(known.begin(), known.end(),
                                [](const auto& precision) { return precision.name == "fp8"; });
  const std::int64_t width = 2 * (row.nope_dim + row.rope_dim) + row.value_dim;
  return {
      "quantise", -1, row.activations, QuantiseKernel{row.tokens(), row.heads * width, &*fp8}, {}};
}

std::vector<Kernel> prefill(RowReader& cells, const Software& software) {
  const LatentRow row = read_latent(cells, false);
  std::vector<Kernel> kernels;
  if (software_value(software, "prefill_lengths_kernel", 0) != 0) {
    const auto requests = static_cast<std::int64_t>(row.spans.size());
    kernels.push_back({"sequence_lengths",
                       -1,
                       row.activations,
                       ElementwiseKernel{ElementwiseKind::Add, requests, 1},
                       {}});
  }
  kernels.push_back(rope(row, false));
  if (row.is_quantised()) kernels.push_back(quantise_inputs(row));
  kernels.push_back(naive_attention(row, software));
  return kernels;
}

std::vector<Kernel> decode(RowReader& cells, const Software& software) {
  const LatentRow row = read_latent(cells, true);
  return {rope(row, true), absorbed_attention(row, 0, software)};
}

/// A layer's kernels in launch order. Projections take bfloat16 rows: what quantises them is part
/// of the module.
class Module {
 public:
  Module(RowReader& cells, const LatentRow& row, const Software& software)
      : row_(row),
        software_(software),
        hidden_(cells.integer("hidden", 1, 7168)),
        query_rank_(cells.integer("q_lora", 1, 1536)),
        precision_(cells.precision("gemm_dtype")) {}

  /// Down-projections of queries and latents in one product, their norms, queries, their
  /// absorption, rotation.
  void add_inputs() {
    add_product("latent_down_projection", query_rank_ + row_.kv_rank + row_.rope_dim, hidden_);
    add(NormKernel{row_.tokens(), query_rank_}, "query_norm");
    add(NormKernel{row_.tokens(), row_.kv_rank}, "latent_norm");
    add_product("query_up_projection", row_.heads * (row_.nope_dim + row_.rope_dim), query_rank_);
  }
  /// Scores of the indexer: its queries from the normed ranks, one key and the heads' weights from
  /// the hidden rows in one product, rotation, and the choice. Launches between them: hidden rows
  /// to float, the key back, joining and quantising of queries and key, scaling of the weights, the
  /// key into its cache, places of the chosen keys (TensorRT-LLM, sparse/dsa.py, Indexer.forward).
  void add_indexer(std::int64_t heads, std::int64_t width, std::int64_t top_k) {
    add_copy("index_input_conversion", hidden_);
    add_plain_product("index_key_projection", width + heads, hidden_);
    add_copy("index_key_conversion", width);
    add_product("index_query_projection", heads * width, query_rank_);
    add(NormKernel{row_.tokens(), width, NormKind::Layer}, "index_key_norm");
    RopeKernel rotation{row_.tokens(), heads, 1, width, ElementType::Fp8E4m3, row_.rope_dim};
    rotation.values = false;
    rotation.carried = width - row_.rope_dim;
    rotation.queries = ElementType::Fp8E4m3;
    add(rotation, "index_rope");
    add_copy("index_query_join", heads * width);
    add_copy("index_key_join", width);
    add_copy("index_weight_scale", heads);
    add_copy("index_cache_write", width);
    add(IndexerKernel{row_.spans, heads, width, top_k, ElementType::Fp8E4m3, ElementType::Fp8E4m3},
        "indexer");
    add_copy("index_places", top_k);
  }
  void add_attention(std::int64_t selected) {
    add(BatchedGemmKernel{row_.heads, row_.tokens(), row_.kv_rank, row_.nope_dim},
        "query_absorption");
    kernels_.push_back(rope(row_, true));
    kernels_.push_back(absorbed_attention(row_, selected, software_));
    add(BatchedGemmKernel{row_.heads, row_.tokens(), row_.value_dim, row_.kv_rank},
        "value_projection");
    add_product("output_projection", hidden_, row_.heads * row_.value_dim);
  }
  [[nodiscard]] std::vector<Kernel> take() { return std::move(kernels_); }

 private:
  void add(KernelShape shape, std::string_view role) {
    kernels_.push_back({role, -1, ElementType::Bfloat16, std::move(shape), {}});
  }
  void add_copy(std::string_view role, std::int64_t width) {
    add(ElementwiseKernel{ElementwiseKind::Scale, row_.tokens(), width}, role);
  }
  void add_plain_product(std::string_view role, std::int64_t n, std::int64_t k) {
    add(GemmKernel{row_.tokens(), n, k}, role);
  }
  void add_product(std::string_view role, std::int64_t n, std::int64_t k) {
    if (precision_ != nullptr && precision_->activation) {
      add(QuantiseKernel{row_.tokens(), k, precision_}, "quantise");
    }
    GemmKernel gemm{row_.tokens(), n, k};
    gemm.precision = precision_;
    add(gemm, role);
  }

  LatentRow row_;
  const Software& software_;
  std::int64_t hidden_, query_rank_;
  const formats::Precision* precision_;
  std::vector<Kernel> kernels_;
};

std::vector<Kernel> module_decode(RowReader& cells, const Software& software) {
  Module module(cells, read_latent(cells, true), software);
  module.add_inputs();
  module.add_attention(0);
  return module.take();
}

std::vector<Kernel> sparse_module_decode(RowReader& cells, const Software& software) {
  const std::int64_t top_k = cells.integer("index_topk", 1, 2048);
  Module module(cells, read_latent(cells, true), software);
  module.add_inputs();
  module.add_indexer(cells.integer("index_heads", 1, 64), cells.integer("index_dim", 1, 128),
                     top_k);
  module.add_attention(top_k);
  return module.take();
}

}  // namespace

std::vector<RowOperator> latent_operators() {
  return {{"mla_prefill", {"batch", "q_len", "kv_len", "heads"}, prefill, true},
          {"mla_decode", {"batch", "kv_len", "heads"}, decode, true},
          {"mla_module_decode", {"batch", "kv_len", "heads"}, module_decode, true},
          {"dsa_module_decode", {"batch", "kv_len", "heads"}, sparse_module_decode, true}};
}

}  // namespace tandem::entry
