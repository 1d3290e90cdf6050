// Small networks with every kind of layer: the configurations of the goldens in tests/lower/golden,
// which hold the same as JSON. qwen35, dsv3 and gptoss are small versions of Qwen3.5, DeepSeek-V3
// and gpt-oss; the others cover what those three leave out.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "sim/describe/neural_network.hpp"

namespace tandem::test {

inline NeuralNetwork tiny_network_of(std::string name, std::int64_t hidden, std::int64_t vocabulary,
                                     std::vector<LayerKind> kinds,
                                     std::vector<std::int32_t> pattern) {
  NeuralNetwork network;
  network.name = std::move(name);
  network.source = "tests/lower/golden";
  network.hidden = hidden;
  network.vocabulary = vocabulary;
  network.max_context = 64;
  network.norm.epsilon = 1e-6;
  network.kinds = std::move(kinds);
  network.pattern = std::move(pattern);
  return network;
}

inline ops::Rope tiny_rope(double theta, std::int64_t rotated) {
  ops::Rope rope;
  rope.theta = theta;
  rope.rotated = rotated;
  return rope;
}

inline GroupedAttention tiny_attention(std::int64_t heads, std::int64_t kv_heads,
                                       std::int64_t head_dim) {
  GroupedAttention attention;
  attention.shape.heads = heads;
  attention.shape.kv_heads = kv_heads;
  attention.shape.head_dim = head_dim;
  return attention;
}

inline Experts tiny_experts(ops::RouterRule rule, std::int64_t count, std::int64_t top_k,
                            std::int64_t intermediate) {
  Experts experts;
  experts.router.rule = rule;
  experts.router.experts = count;
  experts.router.top_k = top_k;
  experts.intermediate = intermediate;
  return experts;
}

/// Sizes of a dense decoder of four heads over two KV heads.
struct DenseSizes {
  std::int64_t layers = 2, hidden = 64, head_dim = 16, intermediate = 96;
};

inline NeuralNetwork dense_tiny(std::string name = "dense-tiny", const DenseSizes& sizes = {}) {
  GroupedAttention attention = tiny_attention(4, 2, sizes.head_dim);
  attention.rope = tiny_rope(10000, sizes.head_dim);
  attention.rope->layout = RopeLayout::Interleaved;
  FeedForward dense;
  dense.intermediate = sizes.intermediate;
  return tiny_network_of(std::move(name), sizes.hidden, 60, {{attention, dense, false}},
                         std::vector<std::int32_t>(static_cast<std::size_t>(sizes.layers), 0));
}

/// Sizes of the Qwen3-Next test in huggingface/transformers, with the layers of Qwen3.5: LLLF.
inline NeuralNetwork qwen35_tiny() {
  GatedDelta delta;
  delta.shape = {2, 4, 16, 16, 4, 8};  // chunks of 8: a prompt of 22 ends inside the third
  GroupedAttention full = tiny_attention(2, 2, 16);
  full.rope = tiny_rope(1e7, 4);
  full.qk_norm = QkNorm::PerHead;
  full.output_gate = true;
  FeedForward ffn;
  ffn.experts = tiny_experts(ops::RouterRule::SoftmaxTopk, 8, 2, 12);
  ffn.experts->shared = 1;
  ffn.experts->shared_intermediate = 36;
  ffn.experts->shared_gate = true;
  NeuralNetwork network = tiny_network_of("qwen35-tiny", 32, 99,
                                          {{delta, ffn, false}, {full, ffn, false}}, {0, 0, 0, 1});
  network.norm.one_plus_weight = true;
  network.mtp = {1, 1};
  return network;
}

inline LatentAttention tiny_latent() {
  LatentAttention latent;
  latent.shape.heads = 4;
  latent.shape.query_rank = 32;
  latent.shape.kv_rank = 16;
  latent.shape.nope_dim = 16;
  latent.shape.rope_dim = 8;
  latent.shape.value_dim = 16;
  latent.rope = tiny_rope(10000, 8);
  latent.rope.layout = RopeLayout::Interleaved;
  latent.rope.scaling = ops::YarnScaling{40, 4096, 32, 1, true, 1, 1};
  latent.shape.scale_factor = ops::yarn_softmax_factor(latent.rope);
  return latent;
}

/// DeepSeek-V3's router: sigmoid with a bias, two of four groups.
inline FeedForward tiny_grouped_experts() {
  FeedForward ffn;
  ffn.experts = tiny_experts(ops::RouterRule::SigmoidBias, 16, 4, 24);
  ops::Router& router = ffn.experts->router;
  router.scale = 2.5;
  router.bias = true;
  router.groups = 4;
  router.top_groups = 2;
  router.group_score = ops::GroupScore::SumOfTop2;
  ffn.experts->shared = 1;
  ffn.experts->shared_intermediate = 24;
  return ffn;
}

inline NeuralNetwork dsv3_tiny() {
  FeedForward dense;
  dense.intermediate = 96;
  NeuralNetwork network = tiny_network_of(
      "dsv3-tiny", 64, 128,
      {{tiny_latent(), dense, false}, {tiny_latent(), tiny_grouped_experts(), false}}, {0, 1, 1});
  network.mtp = {1, 1};
  return network;
}

inline NeuralNetwork gptoss_tiny() {
  GroupedAttention full = tiny_attention(4, 2, 16);
  full.rope = tiny_rope(150000, 16);
  full.rope->scaling = ops::YarnScaling{32, 4096, 32, 1, false, 1, 0};
  full.sinks = true;
  full.qkv_bias = true;
  full.output_bias = true;
  GroupedAttention sliding = full;
  sliding.shape.window = 8;
  FeedForward ffn;
  ffn.activation = ActivationKind::ClampedSwiglu;
  ffn.experts = tiny_experts(ops::RouterRule::TopkSoftmax, 8, 2, 24);
  ffn.experts->router.bias = true;
  ffn.experts->bias = true;
  NeuralNetwork network =
      tiny_network_of("gptoss-tiny", 48, 120, {{sliding, ffn, false}, {full, ffn, false}}, {0, 1});
  network.norm.epsilon = 1e-5;
  return network;
}

/// Gemma 4: dense block and experts side by side, values from keys, proportional rotation.
inline NeuralNetwork gemma4_tiny() {
  GroupedAttention sliding = tiny_attention(4, 2, 8);
  sliding.shape.window = 5;
  sliding.shape.scale = 1;
  sliding.rope = tiny_rope(10000, 8);
  sliding.qk_norm = QkNorm::PerHead;
  sliding.value_norm = true;
  GroupedAttention full = tiny_attention(4, 1, 16);
  full.shape.scale = 1;
  full.rope = tiny_rope(1e6, 4);
  full.rope->partial = ops::PartialRotary::Proportional;
  full.qk_norm = QkNorm::PerHead;
  full.value_norm = true;
  full.keys_are_values = true;
  FeedForward ffn;
  ffn.intermediate = 28;
  ffn.activation = ActivationKind::GeluTanh;
  ffn.experts = tiny_experts(ops::RouterRule::SoftmaxTopk, 6, 3, 10);
  ffn.experts->router_norm = true;
  ffn.experts->expert_scale = true;
  NeuralNetwork network =
      tiny_network_of("gemma4-tiny", 36, 60, {{sliding, ffn, true}, {full, ffn, true}}, {0, 0, 1});
  network.tied_embeddings = true;
  network.embedding_scale = 6;
  network.final_softcap = 30;
  return network;
}

/// Gemma 2 and 3: 1 + w, norms after each half, soft caps, linear rope scaling.
inline NeuralNetwork gemma3_tiny() {
  GroupedAttention sliding = tiny_attention(4, 2, 8);
  sliding.shape.window = 4;
  sliding.shape.scale = 0.25;
  sliding.shape.softcap = 5;
  sliding.rope = tiny_rope(10000, 8);
  sliding.qk_norm = QkNorm::PerHead;
  GroupedAttention full = sliding;
  full.shape.window = 0;
  full.rope = tiny_rope(1e6, 8);
  full.rope->scaling = ops::LinearScaling{8};
  FeedForward ffn;
  ffn.intermediate = 40;
  ffn.activation = ActivationKind::GeluTanh;
  NeuralNetwork network =
      tiny_network_of("gemma3-tiny", 36, 60, {{sliding, ffn, true}, {full, ffn, true}}, {0, 1});
  network.norm.one_plus_weight = true;
  network.tied_embeddings = true;
  network.embedding_scale = 6;
  network.final_softcap = 10;
  return network;
}

/// GPT-3: LayerNorm, learned positions, biases, a block without a gate.
inline NeuralNetwork gpt3_tiny() {
  GroupedAttention attention = tiny_attention(3, 3, 8);
  attention.qkv_bias = true;
  attention.output_bias = true;
  FeedForward ffn;
  ffn.intermediate = 96;
  ffn.gated = false;
  ffn.bias = true;
  ffn.activation = ActivationKind::Gelu;
  NeuralNetwork network = tiny_network_of("gpt3-tiny", 24, 60, {{attention, ffn, false}}, {0, 0});
  network.norm = {NormKind::Layer, false, 1e-5};
  network.max_context = 16;
  network.tied_embeddings = true;
  network.learned_positions = true;
  return network;
}

/// Sparse attention of DeepSeek-V3.2; then a layer as DeepSeek-V2-Lite has it: no query latent,
/// softmax router with groups by their best expert.
inline NeuralNetwork dsv32_tiny() {
  LatentAttention sparse = tiny_latent();
  sparse.indexer = ops::IndexerShape{3, 12, 5};
  LatentAttention plain = tiny_latent();
  plain.shape.query_rank = 0;
  plain.shape.scale_factor = 1;
  plain.rope.scaling = std::monostate();
  FeedForward ffn;
  ffn.experts = tiny_experts(ops::RouterRule::SoftmaxTopk, 12, 3, 16);
  ops::Router& router = ffn.experts->router;
  router.renormalise = false;
  router.scale = 16;
  router.groups = 4;
  router.top_groups = 2;
  ffn.experts->shared = 2;
  ffn.experts->shared_intermediate = 32;
  return tiny_network_of("dsv32-tiny", 48, 60,
                         {{sparse, tiny_grouped_experts(), false}, {plain, ffn, false}}, {0, 1});
}

/// MiniMax M2: norm over all heads, partial rotation, sigmoid router; the second layer rotates as
/// Llama 3.1.
inline NeuralNetwork minimax_tiny() {
  GroupedAttention first = tiny_attention(4, 2, 16);
  first.qk_norm = QkNorm::AllHeads;
  first.rope = tiny_rope(5e6, 8);
  GroupedAttention second = first;
  second.rope = tiny_rope(500000, 16);
  second.rope->scaling = ops::Llama3Scaling{8, 1, 4, 64};
  FeedForward ffn;
  ffn.experts = tiny_experts(ops::RouterRule::SigmoidBias, 8, 3, 20);
  ffn.experts->router.bias = true;
  return tiny_network_of("minimax-tiny", 40, 60, {{first, ffn, false}, {second, ffn, false}},
                         {0, 1});
}

inline std::vector<NeuralNetwork> tiny_networks() {
  return {qwen35_tiny(), dsv3_tiny(), gptoss_tiny(), gemma4_tiny(),
          gemma3_tiny(), gpt3_tiny(), dsv32_tiny(),  minimax_tiny()};
}

}  // namespace tandem::test
