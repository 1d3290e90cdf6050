// lower(): from a batch over a stage to its kernels in issue order.
#include <string>
#include <utility>

#include "sim/core/diagnostics.hpp"
#include "sim/lower/graph_builder.hpp"

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

}  // namespace

GraphBuilder::GraphBuilder(const Stage& stage, const Batch& batch, const RoutingLoad& load)
    : stage_(stage),
      network_(stage.network),
      load_(load),
      tokens_(batch.tokens()),
      sampled_(batch.sampled()) {
  for (const SequenceSlice& slice : batch.slices) {
    const QuerySpan span{slice.new_tokens, slice.context + slice.new_tokens};
    spans_.push_back(span);
    (slice.is_decode() ? decode_spans_ : prefill_spans_).push_back(span);
  }
}

GraphBuilder::Index GraphBuilder::add(std::string_view role, KernelShape shape,
                                      std::vector<Index> depends_on) {
  std::erase(depends_on, no_kernel);  // what the stage before has made is there at the start
  graph_.kernels.push_back(
      {role, layer_, stage_.precision.activations, std::move(shape), std::move(depends_on)});
  return static_cast<Index>(graph_.kernels.size()) - 1;
}

GemmKernel GraphBuilder::gemm(std::int64_t m, std::int64_t n, std::int64_t k, bool adds_residual,
                              bool bias) const {
  return {m, n, k, stage_.precision.weights, stage_.precision.activations, adds_residual, bias};
}

BatchedGemmKernel GraphBuilder::batched(std::int64_t batch, std::int64_t m, std::int64_t n,
                                        std::int64_t k) const {
  return {batch, m, n, k, stage_.precision.weights, stage_.precision.activations};
}

NormKernel GraphBuilder::hidden_norm(std::int64_t rows, bool adds_residual) const {
  NormKernel norm{rows, network_.hidden, network_.norm.kind};
  norm.adds_residual = adds_residual;
  return norm;
}

void GraphBuilder::add_embedding() {
  layer_ = no_layer;
  hidden_from_ = add("embedding", EmbeddingKernel{tokens_, network_.hidden}, {});
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
  const Index embedding = add("mtp_embedding", EmbeddingKernel{tokens_, network_.hidden}, {});
  const Index next = add("mtp_embedding_norm", hidden_norm(tokens_), {embedding});
  const Index hidden = add("mtp_hidden_norm", hidden_norm(tokens_), {});
  hidden_from_ =
      add("mtp_combine", gemm(tokens_, network_.hidden, 2 * network_.hidden), {next, hidden});
}

void GraphBuilder::add_layer(std::int64_t layer, const LayerKind& kind) {
  layer_ = layer;
  const bool adds_residual = !kind.post_norms;
  const Index norm = add("attention_norm", hidden_norm(tokens_), {hidden_from_});
  Index mixed = std::visit([&](const auto& mixer) { return add_mixer(mixer, norm, adds_residual); },
                           kind.mixer);
  if (kind.post_norms) {
    mixed = add("attention_post_norm", hidden_norm(tokens_, true), {mixed, hidden_from_});
  }
  hidden_from_ = mixed;
  hidden_from_ = add_ffn(kind);
}

void GraphBuilder::add_head() {
  layer_ = no_layer;
  const std::int64_t rows = stage_.head_end - stage_.head_begin;
  const Index norm = add("final_norm", hidden_norm(sampled_), {hidden_from_});
  Index head = add("lm_head", gemm(sampled_, rows, network_.hidden), {norm});
  if (network_.final_softcap > 0) {
    head =
        add("logit_softcap", ElementwiseKernel{ElementwiseKind::Softcap, sampled_, rows}, {head});
  }
  add("sample", SampleKernel{sampled_, rows}, {head});
}

KernelGraph lower(const Stage& stage, const Batch& batch, const RoutingLoad& load) {
  check_batch(batch);
  GraphBuilder builder(stage, batch, load);
  if (batch.slices.empty()) return builder.take();
  if (stage.has_embedding) builder.add_embedding();
  for (std::int64_t i = 0; i < stage.layers; ++i) {
    const std::int64_t layer = stage.first_layer + i;
    builder.add_layer(layer, stage.network.layer(layer));
  }
  // Rows that nobody samples from need neither the final norm nor the head.
  if (stage.has_head() && batch.sampled() > 0) builder.add_head();
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
