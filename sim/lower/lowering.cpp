// lower(): from a batch over a stage to its kernels in issue order.
#include <algorithm>
#include <string>
#include <utility>

#include "sim/core/diagnostics.hpp"
#include "sim/lower/graph_builder.hpp"
#include "sim/numerics/formats/quant_format.hpp"

namespace tandem {
namespace {

void check_batch(const Batch& batch) {
  for (const SequenceSlice& slice : batch.slices) {
    if (slice.new_tokens < 1 || slice.context < 0) {
      throw ModelError("lower: request " + std::to_string(slice.request) + " has " +
                       std::to_string(slice.new_tokens) + " new tokens over a context of " +
                       std::to_string(slice.context) + "; needs at least 1 over at least 0");
    }
  }
}

/// Whether a kernel has nothing to work on, as on a chip whose attention group has no tokens.
bool is_empty(const KernelShape& shape) {
  return std::visit(
      [](const auto& s) {
        if constexpr (requires { s.spans; }) {
          return s.spans.empty();
        } else if constexpr (requires { s.rows.size(); }) {
          return std::all_of(s.rows.begin(), s.rows.end(), [](std::int64_t r) { return r == 0; });
        } else if constexpr (requires { s.m; }) {
          return s.m == 0;
        } else if constexpr (requires { s.tokens; }) {
          return s.tokens == 0;
        } else {
          return false;
        }
      },
      shape);
}

/// Whether peers_of() names more than the chip itself.
bool meets_others(RankGroup group, const Sharding& of) {
  switch (group) {
    case RankGroup::Gang:
      return of.ranks() > 1;
    case RankGroup::Attention:
      return of.group_ranks() > 1;
    case RankGroup::Context:
      return of.context > 1;
    case RankGroup::Elsewhere:
      break;
  }
  return true;
}

}  // namespace

GraphBuilder::GraphBuilder(const Stage& stage, const Batch& batch, const RoutingLoad& load)
    : stage_(stage),
      network_(stage.network),
      load_(load),
      shard_(stage.shard),
      all_tokens_(batch.tokens()),
      tokens_(0),
      rows_(0),
      sampled_(0) {
  const bool splits = shard_.of.attention_data > 1;
  std::vector<SequenceSlice> own;
  for (const SequenceSlice& slice : batch.slices) {
    all_decode_ = all_decode_ && slice.is_decode();
    if (splits && slice.group != shard_.group()) continue;
    tokens_ += slice.new_tokens;
    sampled_ += slice.sampled();
    const QuerySpan span{slice.new_tokens, slice.context + slice.new_tokens};
    spans_.push_back(span);
    (slice.is_decode() ? decode_spans_ : prefill_spans_).push_back(span);
    own.push_back(slice);
  }
  cascade_ = cascade_of(own);
  rows_ = tokens_;
}

GraphBuilder::Index GraphBuilder::add(std::string_view role, KernelShape shape,
                                      std::vector<Index> depends_on) {
  if (is_empty(shape)) return no_kernel;
  std::erase(depends_on, no_kernel);  // what the stage before has made is there at the start
  graph_.kernels.push_back(
      {role, layer_, stage_.precision.activations, std::move(shape), std::move(depends_on)});
  return static_cast<Index>(graph_.kernels.size()) - 1;
}

GemmKernel GraphBuilder::gemm(std::int64_t m, std::int64_t n, std::int64_t k, bool adds_residual,
                              bool bias) const {
  return {m, n, k, stored_type(), stage_.precision.activations, adds_residual, bias, products()};
}

GemmKernel GraphBuilder::plain_gemm(std::int64_t m, std::int64_t n, std::int64_t k) const {
  GemmKernel shape = gemm(m, n, k);
  shape.weights = stage_.precision.block_scaled ? shape.activations : stage_.precision.weights;
  shape.precision = nullptr;
  return shape;
}

ElementType GraphBuilder::stored_type() const {
  return stage_.precision.storage_of(part_, layer_).element;
}

const formats::Precision* GraphBuilder::products() const {
  return stage_.precision.products_of(part_, layer_);
}

GraphBuilder::Index GraphBuilder::quantised(Index from, std::int64_t rows, std::int64_t width) {
  if (products() == nullptr || !products()->activation || rows == 0) return from;
  QuantiseKernel shape;
  shape.rows = rows;
  shape.width = width;
  shape.precision = products();
  return add("quantise", shape, {from});
}

BatchedGemmKernel GraphBuilder::batched(std::int64_t batch, std::int64_t m, std::int64_t n,
                                        std::int64_t k) const {
  return {batch,
          m,
          n,
          k,
          stored_type(),
          stage_.precision.activations,
          stage_.precision.weight_only(part_, layer_)};
}

NormKernel GraphBuilder::hidden_norm(std::int64_t rows, bool adds_residual) const {
  NormKernel norm{rows, network_.hidden, network_.norm.kind};
  norm.adds_residual = adds_residual;
  return norm;
}

void GraphBuilder::exchange(std::string_view role, CollectiveOp op, RankGroup group,
                            std::int64_t rows, std::int64_t width, bool adds_residual) {
  if (!meets_others(group, shard_.of)) return;
  Exchange point;
  point.role = role;
  point.layer = layer_;
  point.after = static_cast<std::int32_t>(graph_.kernels.size());
  point.op = op;
  point.group = group;
  point.rows = rows;
  point.width = width;
  point.type = stage_.precision.activations;
  point.adds_residual = adds_residual;
  graph_.exchanges.push_back(point);
}

void GraphBuilder::exchange_experts(std::string_view role, CollectiveOp op, const Experts& experts,
                                    ElementType type) {
  exchange(role, op, RankGroup::Gang, rows_, network_.hidden);
  Exchange& point = graph_.exchanges.back();
  point.type = type;
  point.top_k = experts.router.top_k;
  point.experts = experts.router.experts + shard_.of.redundant_experts;
  point.groups = experts.router.groups;
  point.top_groups = experts.router.top_groups;
  point.transport = all_decode_ ? MoeTransport::LowLatency : MoeTransport::Bulk;
}

void GraphBuilder::reduce_hidden(std::string_view role, bool adds_residual) {
  exchange(role, CollectiveOp::AllReduce, RankGroup::Attention, rows_, network_.hidden,
           adds_residual);
}

void GraphBuilder::add_embedding() {
  layer_ = no_layer;
  hidden_from_ = add("embedding", EmbeddingKernel{tokens_, network_.hidden}, {});
  reduce_hidden("embedding_reduce", false);
  if (network_.embedding_scale != 1) {
    hidden_from_ =
        add("embedding_scale", ElementwiseKernel{ElementwiseKind::Scale, tokens_, network_.hidden},
            {hidden_from_});
  }
  if (network_.learned_positions) {
    hidden_from_ =
        add("position_embedding", ElementwiseKernel{ElementwiseKind::Add, tokens_, network_.hidden},
            {hidden_from_});
  }
}

void GraphBuilder::add_mtp_input(std::int64_t layer) {
  layer_ = layer;
  part_ = WeightPart::Mixers;
  const Index embedding = add("mtp_embedding", EmbeddingKernel{tokens_, network_.hidden}, {});
  reduce_hidden("embedding_reduce", false);
  const Index next = add("mtp_embedding_norm", hidden_norm(tokens_), {embedding});
  const Index hidden = add("mtp_hidden_norm", hidden_norm(tokens_), {});
  const Index joined = quantised(next, tokens_, 2 * network_.hidden);
  hidden_from_ =
      add("mtp_combine", gemm(tokens_, network_.hidden, 2 * network_.hidden), {joined, hidden});
}

void GraphBuilder::add_layer(std::int64_t layer, const LayerKind& kind) {
  layer_ = layer;
  const LayerKind own = shard_of(kind, shard_);
  if (own.has_mixer()) add_mixer_half(own);
  if (own.ffn.is_elsewhere()) {
    exchange("feed_forward", CollectiveOp::SendRecv, RankGroup::Elsewhere, rows_, network_.hidden);
    return gather_rows();
  }
  if (!own.has_mixer()) {
    exchange("token_mixer", CollectiveOp::SendRecv, RankGroup::Elsewhere, rows_, network_.hidden);
  }
  hidden_from_ = add_ffn(own);
  gather_rows();
}

/// Rows of the attention group that single chips own leave them around experts and for chips that
/// run the other half of a layer.
bool GraphBuilder::owns_rows(const LayerKind& own) const {
  const bool sends = (own.ffn.experts && shard_.of.sends_rows()) || own.ffn.is_elsewhere();
  return sends && own.has_mixer() && shares_layers();
}

/// Gives every chip of the attention group the rows that single ones own.
void GraphBuilder::gather_rows() {
  if (rows_are_whole_) return;
  rows_ = tokens_;
  rows_are_whole_ = true;
  exchange("hidden_gather", CollectiveOp::AllGather, RankGroup::Attention, tokens_,
           network_.hidden);
}

void GraphBuilder::add_mixer_half(const LayerKind& own) {
  const bool adds_residual = !own.post_norms;
  part_ = WeightPart::Mixers;
  const Index norm = add("attention_norm", hidden_norm(tokens_), {hidden_from_});
  Index mixed = std::visit([&](const auto& mixer) { return add_mixer(mixer, norm, adds_residual); },
                           own.mixer);
  if (owns_rows(own)) {
    exchange("attention_scatter", CollectiveOp::ReduceScatter, RankGroup::Attention, tokens_,
             network_.hidden, adds_residual);
    rows_ = share_of(tokens_, shard_.of.group_ranks(), shard_.group_rank()).size();
    rows_are_whole_ = false;
  } else {
    reduce_hidden("attention_reduce", adds_residual);
  }
  if (own.post_norms) {
    mixed = add("attention_post_norm", hidden_norm(rows_, true), {mixed, hidden_from_});
  }
  hidden_from_ = mixed;
}

void GraphBuilder::add_head() {
  layer_ = no_layer;
  const std::int64_t rows = stage_.head_rows();
  part_ = network_.tied_embeddings ? WeightPart::Embedding : WeightPart::Head;
  const std::int64_t normed = stage_.hands_on_hidden ? tokens_ : sampled_;
  const Index norm = add("final_norm", hidden_norm(normed), {hidden_from_});
  const GemmKernel product = products() == nullptr && stage_.precision.block_scaled
                                 ? plain_gemm(sampled_, rows, network_.hidden)
                                 : gemm(sampled_, rows, network_.hidden);
  Index head = add("lm_head", product, {quantised(norm, sampled_, network_.hidden)});
  if (network_.final_softcap > 0) {
    head =
        add("logit_softcap", ElementwiseKernel{ElementwiseKind::Softcap, sampled_, rows}, {head});
  }
  const std::int64_t all_rows = stage_.head_end - stage_.head_begin;
  exchange("logits_gather", CollectiveOp::AllGather, RankGroup::Attention, sampled_, all_rows);
  add("sample", SampleKernel{sampled_, all_rows}, {head});
}

void GraphBuilder::add_handed_on() {
  layer_ = no_layer;
  add("final_norm", hidden_norm(tokens_), {hidden_from_});
}

KernelGraph lower(const Stage& stage, const Batch& batch, const RoutingLoad& load) {
  check_batch(batch);
  GraphBuilder builder(stage, batch, load);
  if (batch.slices.empty()) return builder.take();
  if (stage.network.joins_hidden) {
    builder.add_mtp_input(0);
  } else if (stage.has_embedding) {
    builder.add_embedding();
  }
  for (std::int64_t i = 0; i < stage.layers; ++i) {
    const std::int64_t layer = stage.first_layer + i;
    builder.add_layer(layer, stage.network.layer(layer));
  }
  // Rows that nobody samples from need neither the final norm nor the head.
  if (stage.has_head() && batch.sampled() > 0) {
    builder.add_head();
  } else if (stage.hands_on_hidden) {
    builder.add_handed_on();
  }
  return builder.take();
}

KernelGraph lower_mtp(const Stage& stage, const Batch& batch, const RoutingLoad& load) {
  check_batch(batch);
  const NeuralNetwork& network = stage.network;
  if (network.mtp.modules < 1) {
    throw ModelError("lower: " + network.name + " has no modules that predict further tokens");
  }
  GraphBuilder builder(stage, batch, load);
  if (batch.slices.empty()) return builder.take();
  builder.add_mtp_input(network.layers());
  builder.add_layer(network.layers(), network.kinds[static_cast<std::size_t>(network.mtp.kind)]);
  if (stage.has_head() && batch.sampled() > 0) builder.add_head();
  return builder.take();
}

}  // namespace tandem
