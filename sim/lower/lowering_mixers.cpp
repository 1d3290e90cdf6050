// Token mixers as kernels. Projections that read the same rows are one product, as serving engines
// run them: q, k and v; both down-projections of latent attention; q, k, v and z of gated delta.
#include <algorithm>

#include "sim/core/diagnostics.hpp"
#include "sim/lower/graph_builder.hpp"

namespace tandem {
namespace {

std::int64_t queries_of(const std::vector<QuerySpan>& spans) {
  std::int64_t total = 0;
  for (const QuerySpan& span : spans) total += span.q_len;
  return total;
}

std::int64_t earlier_of(const std::vector<QuerySpan>& spans) {
  std::int64_t total = 0;
  for (const QuerySpan& span : spans) total += span.earlier();
  return total;
}

/// What one chip attends to where several share the cached tokens.
std::vector<QuerySpan> shared_spans(std::vector<QuerySpan> spans, const Shard& shard) {
  for (QuerySpan& span : spans) {
    span.kv_len =
        std::max(span.q_len, share_of(span.kv_len, shard.of.context, shard.context_rank()).size());
  }
  return spans;
}

NormKernel rms(std::int64_t rows, std::int64_t width) {
  return {rows, width, NormKind::Rms};
}

}  // namespace

GraphBuilder::Index GraphBuilder::add_output(std::int64_t width, std::vector<Index> from,
                                             bool adds_residual, bool bias) {
  adds_residual = adds_residual && !shares_layers();  // else the sum over the gang does
  from.front() = quantised(from.front(), tokens_, width);
  if (adds_residual) from.push_back(hidden_from_);
  return add("output_projection", gemm(tokens_, network_.hidden, width, adds_residual, bias),
             std::move(from));
}

std::vector<GraphBuilder::Index> GraphBuilder::add_qk_norms(const GroupedAttention& a, Index qkv) {
  std::vector<Index> from{qkv};
  if (a.qk_norm == QkNorm::PerHead) {
    from.push_back(add("query_norm", rms(tokens_ * a.shape.heads, a.shape.head_dim), {qkv}));
    from.push_back(add("key_norm", rms(tokens_ * a.shape.kv_heads, a.shape.head_dim), {qkv}));
  } else if (a.qk_norm == QkNorm::AllHeads) {
    exchange("qk_norm_reduce", CollectiveOp::AllReduce, RankGroup::Attention, tokens_, 2);
    // Sums of squares, in float whatever the format (vllm-project/vllm linear_attn.py,
    // MiniMaxText01RMSNormTP).
    if (shares_layers()) graph_.exchanges.back().type = ElementType::Float32;
    from.push_back(add("query_norm", rms(tokens_, a.q_width()), {qkv}));
    from.push_back(add("key_norm", rms(tokens_, a.kv_width()), {qkv}));
  }
  if (a.value_norm) {
    NormKernel norm = rms(tokens_ * a.shape.kv_heads, a.shape.head_dim);
    norm.weighted = false;
    from.push_back(add("value_norm", norm, {qkv}));
  }
  return from;
}

GraphBuilder::Index GraphBuilder::add_cache_write(const GroupedAttention& a,
                                                  std::vector<Index> from) {
  RopeKernel rope{tokens_, a.shape.heads, a.shape.kv_heads, a.shape.head_dim,
                  stage_.precision.kv_cache};
  if (!a.rope) {
    rope.rotated = 0;
  } else if (a.rope->rotated != a.shape.head_dim) {
    rope.rotated = a.rope->rotated;
  }
  rope.slots = slots_of(a, stage_.precision);
  return add(a.rope ? "rope" : "cache_write", rope, std::move(from));
}

GraphBuilder::Index GraphBuilder::add_mixer(const GroupedAttention& a, Index norm,
                                            bool adds_residual) {
  const std::int64_t qkv_width =
      a.q_width() * (a.output_gate ? 2 : 1) + a.kv_width() * (a.keys_are_values ? 1 : 2);
  const Index qkv =
      add("qkv_projection", gemm(tokens_, qkv_width, network_.hidden, false, a.qkv_bias),
          {quantised(norm, tokens_, network_.hidden)});
  const Index rope = add_cache_write(a, add_qk_norms(a, qkv));
  Index attention = shares_tokens() ? add_shared_attention(a, rope) : add_own_attention(a, rope);
  if (a.output_gate) {
    attention =
        add("output_gate", ElementwiseKernel{ElementwiseKind::SigmoidGate, tokens_, a.q_width()},
            {attention, qkv});
  }
  return add_output(a.q_width(), {attention}, adds_residual, a.output_bias);
}

/// Attention decodes slots as it reads them where a few queries meet many keys. The query tiles of
/// a prompt would each decode them anew: a kernel before it turns them into activations once.
GraphBuilder::Index GraphBuilder::add_own_attention(const GroupedAttention& a, Index rope) {
  if (stage_.precision.kv_format == nullptr) {
    const bool cascades =
        cascade_.exists() && a.shape.window == 0 && !a.sinks && !stage_.eviction.is_on();
    return cascades ? add_cascade(a, rope) : add_attention(a, kept_spans(a, spans_), rope);
  }
  Index last = rope;
  if (!prefill_spans_.empty()) last = add_restored_attention(a, rope);
  if (decode_spans_.empty()) return last;
  const Index decoding = add_attention(a, kept_spans(a, decode_spans_), rope);
  if (last != rope) graph_.kernels[index_of(decoding)].depends_on.push_back(last);
  return decoding;
}

/// Partial results over shared prefixes and over what is a request's own, merged by their softmax
/// sums.
GraphBuilder::Index GraphBuilder::add_cascade(const GroupedAttention& a, Index rope) {
  const Index shared = add_attention(a, cascade_.prefixes, rope);
  Kernel& kernel = graph_.kernels[index_of(shared)];
  kernel.role = "prefix_attention";
  std::get<AttentionKernel>(kernel.shape).causal = false;
  const Index own = add_attention(a, cascade_.own, rope);
  const ElementwiseKernel join{ElementwiseKind::Add, cascade_.queries, a.q_width()};
  return add("attention_join", join, {shared, own});
}

/// Spans over the keys that earlier passes kept, and the new ones.
std::vector<QuerySpan> GraphBuilder::kept_spans(const Mixer& mixer,
                                                std::vector<QuerySpan> spans) const {
  if (!evicts(mixer)) return spans;
  for (QuerySpan& span : spans) span.kv_len = stage_.eviction.kept(span.earlier()) + span.q_len;
  return spans;
}

/// Whether heavy hitters are chosen among the layer's keys.
bool GraphBuilder::sums_keys(const Mixer& mixer) const {
  return evicts(mixer) && stage_.eviction.sums_attention();
}

GraphBuilder::Index GraphBuilder::add_restored_attention(const GroupedAttention& a, Index rope) {
  CacheReadKernel read{0, 2 * a.kv_width(), stage_.precision.kv_cache,
                       slots_of(a, stage_.precision)};
  const std::vector<QuerySpan> spans = kept_spans(a, prefill_spans_);
  for (const QuerySpan& span : spans) {
    const std::int64_t window = a.shape.window;
    read.rows += window > 0 ? std::min(span.kv_len, span.q_len + window - 1) : span.kv_len;
  }
  const Index restored = add("kv_read", read, {rope});
  const Index attention = add_attention(a, spans, rope);
  Kernel& kernel = graph_.kernels[index_of(attention)];
  kernel.depends_on.push_back(restored);
  auto& shape = std::get<AttentionKernel>(kernel.shape);
  shape.slots = {};
  shape.cached = false;
  return attention;
}

GraphBuilder::Index GraphBuilder::add_attention(const GroupedAttention& a,
                                                const std::vector<QuerySpan>& spans, Index rope) {
  AttentionKernel shape;
  shape.spans = spans;
  shape.heads = a.shape.heads;
  shape.kv_heads = a.shape.kv_heads;
  shape.head_dim = a.shape.head_dim;
  shape.window = a.shape.window;
  shape.activations = stage_.precision.activations;
  shape.kv = stage_.precision.kv_cache;
  shape.slots = slots_of(a, stage_.precision);
  shape.sums_keys = sums_keys(a);
  shape.sinks = a.sinks;
  shape.softcap = a.shape.softcap > 0;
  return add("attention", std::move(shape), {rope});
}

/// Where chips share the cached tokens: prompts gather what is cached of them and run by heads;
/// tokens that decode meet every chip's part of the cache with the heads of all these chips, and
/// the parts are joined by their softmax sums.
GraphBuilder::Index GraphBuilder::add_shared_attention(const GroupedAttention& a, Index rope) {
  const std::int64_t parts = shard_.of.context;
  Index prompts = no_kernel;
  if (!prefill_spans_.empty()) {
    exchange("cache_gather", CollectiveOp::AllGather, RankGroup::Context,
             earlier_of(prefill_spans_), 2 * a.kv_width());
    prompts = stage_.precision.kv_format == nullptr ? add_attention(a, prefill_spans_, rope)
                                                    : add_restored_attention(a, rope);
  }
  if (decode_spans_.empty()) return prompts;
  const std::int64_t rows = queries_of(decode_spans_);
  exchange("query_gather", CollectiveOp::AllGather, RankGroup::Context, rows, parts * a.q_width());
  GroupedAttention wide = a;
  wide.shape.heads *= parts;
  const Index part = add_attention(wide, shared_spans(decode_spans_, shard_), rope);
  exchange("attention_exchange", CollectiveOp::AllToAll, RankGroup::Context, rows,
           parts * (a.q_width() + a.shape.heads));
  const ElementwiseKernel join{ElementwiseKind::Add, rows * (parts - 1), a.q_width()};
  return add("attention_join", join, {part, prompts});
}

GraphBuilder::LatentInputs GraphBuilder::add_latent_inputs(const LatentAttention& a, Index norm) {
  const ops::LatentShape& s = a.shape;
  const std::int64_t q_width = s.heads * s.query_dim();
  Index query_input = norm;
  Index query = no_kernel;
  Index latent = no_kernel;
  norm = quantised(norm, tokens_, network_.hidden);
  if (s.query_rank > 0) {
    latent = add("latent_down_projection",
                 gemm(tokens_, s.query_rank + s.cached_elements(), network_.hidden), {norm});
    query_input = add("query_norm", rms(tokens_, s.query_rank), {latent});
    query = add("query_up_projection", gemm(tokens_, q_width, s.query_rank),
                {quantised(query_input, tokens_, s.query_rank)});
  } else {
    query = add("query_projection", gemm(tokens_, q_width, network_.hidden), {norm});
    latent =
        add("latent_down_projection", gemm(tokens_, s.cached_elements(), network_.hidden), {norm});
  }
  const Index normed = add("latent_norm", rms(tokens_, s.kv_rank), {latent});
  RopeKernel rope{tokens_, s.heads, 1, s.rope_dim, stage_.precision.kv_cache};
  rope.values = false;
  rope.extra = s.kv_rank;
  rope.slots = slots_of(a, stage_.precision);
  return {query_input, add("rope", rope, {query, normed})};
}

GraphBuilder::Index GraphBuilder::add_indexer(const LatentAttention& a, const LatentInputs& in,
                                              Index norm) {
  const ops::IndexerShape& s = *a.indexer;
  const std::int64_t q_input = a.shape.query_rank > 0 ? a.shape.query_rank : network_.hidden;
  const Index query =
      add("index_query_projection", gemm(tokens_, s.heads * s.head_dim, q_input), {in.query_input});
  const Index key = add("index_key_projection", gemm(tokens_, s.head_dim, network_.hidden), {norm});
  const Index key_norm =
      add("index_key_norm", NormKernel{tokens_, s.head_dim, NormKind::Layer}, {key});
  const Index weights =
      add("index_weight_projection", gemm(tokens_, s.heads, network_.hidden), {norm});
  RopeKernel rope{tokens_, s.heads, 1, s.head_dim, stage_.precision.kv_cache, a.shape.rope_dim};
  rope.values = false;
  const Index rotated = add("index_rope", rope, {query, key_norm});
  return add("indexer",
             IndexerKernel{spans_, s.heads, s.head_dim, s.top_k, stage_.precision.activations,
                           stage_.precision.kv_cache},
             {rotated, weights});
}

GraphBuilder::Index GraphBuilder::add_naive(const LatentAttention& a, const LatentInputs& in) {
  const ops::LatentShape& s = a.shape;
  const std::vector<QuerySpan> spans = kept_spans(a, prefill_spans_);
  const std::int64_t context = earlier_of(spans);
  Index read = no_kernel;
  exchange("cache_gather", CollectiveOp::AllGather, RankGroup::Context, context,
           s.cached_elements());
  const std::int64_t rows = context + queries_of(prefill_spans_);
  const KvSlots slots = slots_of(a, stage_.precision);
  const std::int64_t read_rows = slots.is_coded() ? rows : context;
  if (read_rows > 0) {
    read = add("latent_read",
               CacheReadKernel{read_rows, s.cached_elements(), stage_.precision.kv_cache, slots},
               slots.is_coded() ? std::vector<Index>{in.rope} : std::vector<Index>{});
  }
  // Keys and values of the context are made anew, as engines do in chunked prefill.
  const Index latents = quantised(in.rope, rows, s.kv_rank);
  const Index up =
      add("kv_up_projection", gemm(rows, s.heads * (s.nope_dim + s.value_dim), s.kv_rank),
          {latents, read});
  AttentionKernel shape;
  shape.spans = spans;
  shape.heads = shape.kv_heads = s.heads;
  shape.head_dim = s.query_dim();
  shape.value_dim = s.value_dim;
  shape.shared_key_dim = s.rope_dim;
  shape.activations = shape.kv = stage_.precision.activations;
  shape.cached = false;
  shape.sums_keys = sums_keys(a);
  return add("attention", std::move(shape), {in.rope, up});
}

GraphBuilder::Index GraphBuilder::add_absorbed(const LatentAttention& a, const LatentInputs& in,
                                               Index chosen, const std::vector<QuerySpan>& spans,
                                               bool repeats_weights) {
  const ops::LatentShape& s = a.shape;
  const std::int64_t rows = queries_of(spans);
  const std::int64_t parts = shard_.of.context;
  const Index absorbed =
      add("query_absorption", batched(s.heads, rows, s.kv_rank, s.nope_dim), {in.rope});
  mark_repeated(absorbed, repeats_weights);
  exchange("query_gather", CollectiveOp::AllGather, RankGroup::Context, rows,
           parts * s.heads * (s.kv_rank + s.rope_dim));
  LatentAttentionKernel shape{shares_tokens() ? shared_spans(spans, shard_) : spans,
                              s.heads * parts,
                              s.kv_rank,
                              s.rope_dim,
                              a.indexer ? a.indexer->top_k : 0,
                              stage_.precision.activations,
                              stage_.precision.kv_cache};
  shape.slots = slots_of(a, stage_.precision);
  shape.sums_keys = sums_keys(a);
  Index attention = add("latent_attention", shape, {absorbed, chosen});
  if (shares_tokens()) {
    exchange("attention_exchange", CollectiveOp::AllToAll, RankGroup::Context, rows,
             parts * s.heads * (s.kv_rank + 1));
    attention =
        add("attention_join",
            ElementwiseKernel{ElementwiseKind::Add, rows * (parts - 1), s.heads * s.kv_rank},
            {attention});
  }
  const Index values =
      add("value_projection", batched(s.heads, rows, s.value_dim, s.kv_rank), {attention});
  mark_repeated(values, repeats_weights);
  return values;
}

GraphBuilder::Index GraphBuilder::add_mixer(const LatentAttention& a, Index norm,
                                            bool adds_residual) {
  if (stage_.eviction.is_on()) {
    const std::string problem = eviction_problem(network_);
    if (!problem.empty()) throw ModelError("eviction: " + problem);
  }
  const std::int64_t width = a.shape.heads * a.shape.value_dim;
  const LatentInputs in = add_latent_inputs(a, norm);
  if (a.indexer) {
    const Index chosen = add_indexer(a, in, norm);
    return add_output(width, {add_absorbed(a, in, chosen, spans_, false)}, adds_residual, false);
  }
  const bool prefills = !prefill_spans_.empty();
  const bool decodes = !decode_spans_.empty();
  const Index naive = prefills ? add_naive(a, in) : no_kernel;
  const Index absorbed =
      decodes ? add_absorbed(a, in, no_kernel, kept_spans(a, decode_spans_), prefills) : no_kernel;
  return add_output(width, {naive, absorbed}, adds_residual, false);
}

GraphBuilder::Index GraphBuilder::add_mixer(const GatedDelta& d, Index norm, bool adds_residual) {
  const ops::GatedDeltaShape& s = d.shape;
  const Index qkvz =
      add("delta_projection", gemm(tokens_, s.conv_channels() + s.value_width(), network_.hidden),
          {quantised(norm, tokens_, network_.hidden)});
  const Index ba =
      add("delta_gate_projection", plain_gemm(tokens_, 2 * s.value_heads, network_.hidden), {norm});
  const Index conv = add("short_convolution",
                         ShortConvolutionKernel{spans_, s.conv_channels(), s.conv_taps}, {qkvz});
  const Index gates = add(
      "delta_gates", DeltaGateKernel{tokens_, s.key_heads, s.value_heads, s.key_dim}, {conv, ba});
  Index chunked = no_kernel;
  Index recurrent = no_kernel;
  if (!prefill_spans_.empty()) {
    chunked = add("gated_delta_chunked", GatedDeltaKernel{prefill_spans_, s, DeltaPhase::Chunked},
                  {gates});
  }
  if (!decode_spans_.empty()) {
    recurrent = add("gated_delta_recurrent",
                    GatedDeltaKernel{decode_spans_, s, DeltaPhase::Recurrent}, {gates});
  }
  NormKernel gated = rms(tokens_ * s.value_heads, s.value_dim);
  gated.gated = true;
  const Index out = add("delta_norm", gated, {chunked, recurrent, qkvz});
  return add_output(s.value_width(), {out}, adds_residual, false);
}

}  // namespace tandem
