// Content keys and names of kernels.
#include <variant>

#include "sim/core/hash.hpp"
#include "sim/core/overloaded.hpp"
#include "sim/lower/kernel.hpp"
#include "sim/numerics/formats/quant_format.hpp"

namespace tandem {
namespace {

void add(Hasher& hash, const std::vector<QuerySpan>& spans) {
  hash.add(spans.size());
  for (const QuerySpan& span : spans) hash.add(span.q_len).add(span.kv_len);
}

void add(Hasher& hash, const formats::Precision* precision) {
  hash.add(precision == nullptr ? std::string_view{} : precision->name);
}

void add(Hasher& hash, const KvSlots& slots) {
  if (!slots.is_coded()) return;
  hash.add(slots.format->name).add(slots.head.key_dim).add(slots.head.value_dim);
  hash.add(slots.head.kept_key.has_value()).add(slots.per_token);
}

void add(Hasher& hash, const EmbeddingKernel& s) {
  hash.add(s.tokens).add(s.hidden);
}
void add(Hasher& hash, const NormKernel& s) {
  hash.add(s.tokens).add(s.hidden).add(s.kind).add(s.weighted).add(s.gated).add(s.adds_residual);
}
void add(Hasher& hash, const GemmKernel& s) {
  hash.add(s.m).add(s.n).add(s.k).add(s.weights).add(s.activations);
  hash.add(s.adds_residual).add(s.bias);
  add(hash, s.precision);
}
void add(Hasher& hash, const BatchedGemmKernel& s) {
  hash.add(s.batch).add(s.m).add(s.n).add(s.k).add(s.weights).add(s.activations);
  add(hash, s.precision);
}
void add(Hasher& hash, const GroupedGemmKernel& s) {
  hash.add(s.rows.size());
  for (const std::int64_t rows : s.rows) hash.add(rows);
  hash.add(s.n).add(s.k).add(s.weights).add(s.activations).add(s.bias);
  hash.add(s.tuned_rows).add(s.launched_choices).add(s.launched_experts);
  hash.add(s.writes_descriptors);
  add(hash, s.precision);
}
void add(Hasher& hash, const RopeKernel& s) {
  hash.add(s.tokens).add(s.heads).add(s.kv_heads).add(s.head_dim).add(s.kv);
  hash.add(s.rotated_dims()).add(s.values).add(s.extra).add(s.key_copies).add(s.carried);
  hash.add(s.queries.has_value()).add(s.queries.value_or(ElementType::Bfloat16));
  add(hash, s.slots);
}
void add(Hasher& hash, const CacheReadKernel& s) {
  hash.add(s.rows).add(s.width).add(s.kv);
  add(hash, s.slots);
}
void add(Hasher& hash, const AttentionKernel& s) {
  add(hash, s.spans);
  hash.add(s.heads).add(s.kv_heads).add(s.head_dim).add(s.window).add(s.causal);
  hash.add(s.activations).add(s.kv).add(s.value_width()).add(s.shared_key_dim);
  hash.add(s.sinks).add(s.softcap).add(s.cached).add(s.library);
  add(hash, s.slots);
  if (s.sums_keys) hash.add("sums_keys");
}
void add(Hasher& hash, const LatentAttentionKernel& s) {
  add(hash, s.spans);
  hash.add(s.heads).add(s.kv_rank).add(s.rope_dim).add(s.selected).add(s.activations).add(s.kv);
  hash.add(s.query_type()).add(s.deal_kernel);
  add(hash, s.slots);
  if (s.sums_keys) hash.add("sums_keys");
}
void add(Hasher& hash, const IndexerKernel& s) {
  add(hash, s.spans);
  hash.add(s.heads).add(s.head_dim).add(s.top_k).add(s.activations).add(s.kv);
}
void add(Hasher& hash, const ShortConvolutionKernel& s) {
  add(hash, s.spans);
  hash.add(s.channels).add(s.taps);
}
void add(Hasher& hash, const DeltaGateKernel& s) {
  hash.add(s.tokens).add(s.key_heads).add(s.value_heads).add(s.key_dim);
}
void add(Hasher& hash, const GatedDeltaKernel& s) {
  add(hash, s.spans);
  hash.add(s.shape.key_heads).add(s.shape.value_heads).add(s.shape.key_dim);
  hash.add(s.shape.value_dim).add(s.shape.chunk).add(s.phase);
}
void add(Hasher& hash, const StateSpaceScanKernel& s) {
  add(hash, s.spans);
  hash.add(s.heads).add(s.head_dim).add(s.groups).add(s.state_dim).add(s.chunk);
}
void add(Hasher& hash, const RouterKernel& s) {
  const ops::Router& r = s.router;
  hash.add(s.tokens).add(r.rule).add(r.experts).add(r.top_k).add(r.renormalise);
  hash.add(r.scale != 1).add(r.bias).add(r.groups).add(r.top_groups).add(r.group_score);
  hash.add(r.group_mask).add(s.expert_scale);
}
void add(Hasher& hash, const RowWalk& w) {
  hash.add(w.ctas_per_sm).add(w.access).add(w.searches_expert);
  hash.add(w.padding_rows).add(w.padding_bytes).add(w.idle_ctas);
}
void add(Hasher& hash, const DispatchKernel& s) {
  hash.add(s.tokens).add(s.top_k).add(s.hidden).add(s.rows());
  add(hash, s.walk);
}
void add(Hasher& hash, const ExpertSortKernel& s) {
  hash.add(s.tokens).add(s.top_k).add(s.experts);
}
void add(Hasher& hash, const CombineKernel& s) {
  hash.add(s.tokens).add(s.top_k).add(s.hidden).add(s.shared).add(s.adds_residual);
  hash.add(s.rows());
}
void add(Hasher& hash, const ActivationKernel& s) {
  hash.add(s.tokens).add(s.intermediate).add(s.kind).add(s.gated);
  add(hash, s.walk);
}
void add(Hasher& hash, const ElementwiseKernel& s) {
  hash.add(s.kind).add(s.tokens).add(s.width);
}
void add(Hasher& hash, const SampleKernel& s) {
  hash.add(s.tokens).add(s.vocabulary);
}
void add(Hasher& hash, const QuantiseKernel& s) {
  hash.add(s.rows).add(s.width).add(s.scales);
  hash.add(s.search_ctas).add(s.search_access).add(s.convert_access);
  hash.add(s.convert_ctas).add(s.convert_ctas_per_sm).add(s.convert_threads).add(s.convert_unroll);
  add(hash, s.precision);
}

}  // namespace

std::uint64_t key_of(const Kernel& kernel) {
  Hasher hash;
  hash.add(kernel.shape.index()).add(kernel.activations);
  std::visit([&](const auto& shape) { add(hash, shape); }, kernel.shape);
  return hash.value();
}

std::string_view kind_name(const Kernel& kernel) {
  return std::visit(Overloaded{[](const EmbeddingKernel&) { return "embedding"; },
                               [](const NormKernel&) { return "norm"; },
                               [](const GemmKernel&) { return "gemm"; },
                               [](const BatchedGemmKernel&) { return "batched_gemm"; },
                               [](const GroupedGemmKernel&) { return "grouped_gemm"; },
                               [](const RopeKernel&) { return "rope"; },
                               [](const CacheReadKernel&) { return "cache_read"; },
                               [](const AttentionKernel&) { return "attention"; },
                               [](const LatentAttentionKernel&) { return "latent_attention"; },
                               [](const IndexerKernel&) { return "indexer"; },
                               [](const ShortConvolutionKernel&) { return "short_convolution"; },
                               [](const DeltaGateKernel&) { return "delta_gates"; },
                               [](const GatedDeltaKernel&) { return "gated_delta"; },
                               [](const StateSpaceScanKernel&) { return "state_space_scan"; },
                               [](const RouterKernel&) { return "router"; },
                               [](const DispatchKernel&) { return "dispatch"; },
                               [](const CombineKernel&) { return "combine"; },
                               [](const ActivationKernel&) { return "activation"; },
                               [](const ElementwiseKernel&) { return "elementwise"; },
                               [](const SampleKernel&) { return "sample"; },
                               [](const QuantiseKernel&) { return "quantise"; },
                               [](const ExpertSortKernel&) { return "expert_sort"; }},
                    kernel.shape);
}

}  // namespace tandem
