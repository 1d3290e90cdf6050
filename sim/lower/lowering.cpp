// lower(): from a batch over a stage to its kernels in issue order.
#include <string>
#include <utility>

#include "sim/core/diagnostics.hpp"
#include "sim/describe/dense_decoder.hpp"
#include "sim/lower/kernel.hpp"

namespace tandem {
namespace {

constexpr std::int32_t no_kernel = -1;

/// Appends kernels and remembers which one made the hidden rows that flow on.
class GraphBuilder {
 public:
  GraphBuilder(const Stage& stage, const Batch& batch)
      : stage_(stage),
        network_(dense_decoder_of(stage.network, "lower")),
        tokens_(batch.tokens()),
        sampled_(batch.sampled()) {
    attention_.heads = network_.heads;
    attention_.kv_heads = network_.kv_heads;
    attention_.head_dim = network_.head_dim;
    attention_.activations = stage.precision.activations;
    attention_.kv = stage.precision.kv_cache;
    for (const SequenceSlice& slice : batch.slices) {
      attention_.spans.push_back({slice.new_tokens, slice.context + slice.new_tokens});
    }
  }

  void add_embedding() {
    hidden_from_ = add("embedding", no_layer, EmbeddingKernel{tokens_, stage_.network.hidden}, {});
  }
  void add_layer(std::int64_t layer);
  void add_head();
  [[nodiscard]] KernelGraph take() { return std::move(graph_); }

 private:
  static constexpr std::int64_t no_layer = -1;

  std::int32_t add(std::string_view role, std::int64_t layer, KernelShape shape,
                   std::vector<std::int32_t> depends_on) {
    std::erase(depends_on, no_kernel);  // what the stage before has made is there at the start
    graph_.kernels.push_back(
        {role, layer, stage_.precision.activations, std::move(shape), std::move(depends_on)});
    return static_cast<std::int32_t>(graph_.kernels.size()) - 1;
  }
  [[nodiscard]] GemmKernel gemm(std::int64_t m, std::int64_t n, std::int64_t k,
                                bool adds_residual) const {
    return {m, n, k, stage_.precision.weights, stage_.precision.activations, adds_residual};
  }

  const Stage& stage_;
  DenseDecoder network_;
  std::int64_t tokens_;
  std::int64_t sampled_;
  AttentionKernel attention_;
  std::int32_t hidden_from_ = no_kernel;
  KernelGraph graph_;
};

void GraphBuilder::add_layer(std::int64_t layer) {
  const DenseDecoder& net = network_;
  const std::int64_t q_width = net.q_width();
  const std::int32_t norm =
      add("attention_norm", layer, NormKernel{tokens_, net.hidden}, {hidden_from_});
  const std::int32_t qkv =
      add("qkv_projection", layer, gemm(tokens_, q_width + 2 * net.kv_width(), net.hidden, false),
          {norm});
  const std::int32_t rope = add(
      "rope", layer,
      RopeKernel{tokens_, net.heads, net.kv_heads, net.head_dim, stage_.precision.kv_cache}, {qkv});
  const std::int32_t attention = add("attention", layer, attention_, {rope});
  const std::int32_t output =
      add("output_projection", layer, gemm(tokens_, net.hidden, q_width, true),
          {attention, hidden_from_});
  const std::int32_t ffn_norm = add("ffn_norm", layer, NormKernel{tokens_, net.hidden}, {output});
  const std::int32_t gate_up =
      add("gate_up_projection", layer, gemm(tokens_, 2 * net.intermediate, net.hidden, false),
          {ffn_norm});
  const std::int32_t activation =
      add("activation", layer, ActivationKernel{tokens_, net.intermediate}, {gate_up});
  hidden_from_ = add("down_projection", layer, gemm(tokens_, net.hidden, net.intermediate, true),
                     {activation, output});
}

void GraphBuilder::add_head() {
  const std::int64_t rows = stage_.head_end - stage_.head_begin;
  const std::int32_t norm =
      add("final_norm", no_layer, NormKernel{sampled_, stage_.network.hidden}, {hidden_from_});
  const std::int32_t head =
      add("lm_head", no_layer, gemm(sampled_, rows, stage_.network.hidden, false), {norm});
  add("sample", no_layer, SampleKernel{sampled_, rows}, {head});
}

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

KernelGraph lower(const Stage& stage, const Batch& batch) {
  check_batch(batch);
  GraphBuilder builder(stage, batch);
  if (batch.slices.empty()) {
    return builder.take();
  }
  if (stage.has_embedding) {
    builder.add_embedding();
  }
  for (std::int64_t i = 0; i < stage.layers; ++i) {
    builder.add_layer(stage.first_layer + i);
  }
  // Rows that nobody samples from need neither the final norm nor the head.
  if (stage.has_head() && batch.sampled() > 0) {
    builder.add_head();
  }
  return builder.take();
}

}  // namespace tandem
