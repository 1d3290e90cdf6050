// Kinds of layers beyond Llama's on the machine: gates, norms and blocks as Qwen3.5, Gemma and GPT
// have them.
#include <gtest/gtest.h>

#include "sim/lower/reference_model.hpp"
#include "tests/lower/tiny_networks.hpp"
#include "tests/lpu/mixture_harness.hpp"

namespace tandem::test {
namespace {

// Gated outputs beside norms with 1 + w, in packs of several heads and of one.
TEST(LpuKinds, GatedAttentionOutputs) {
  NeuralNetwork network = network_of(small_network(2, 100, 6, 2, 12, 75, 60));
  network.norm.one_plus_weight = true;
  attention_of(network).output_gate = true;
  attention_of(network).qk_norm = QkNorm::PerHead;
  attention_of(network).rope->rotated = 4;
  attention_of(network).rope->layout = RopeLayout::HalfSplit;
  expect_equal_to_reference(network, narrow_geometry(4), ElementType::Float16, 5);
  expect_equal_to_reference(network, narrow_geometry(2), ElementType::Fp8E4m3, 3);
}

TEST(LpuKinds, GatedSharedExperts) {
  NeuralNetwork network = small_mixture(2, 100, 12, 3, 40);
  add_shared(network, 70);
  mixture_of(network).shared_gate = true;
  expect_equal_to_reference(network, narrow_geometry(4), ElementType::Float16, 4);
  mixture_of(network).router.rule = RouterRule::SigmoidBias;
  mixture_of(network).router.bias = true;
  expect_equal_to_reference(network, narrow_geometry(3), ElementType::Fp8E4m3, 3);
}

// All that Gemma 2 and 3 change, windows apart.
NeuralNetwork like_gemma() {
  NeuralNetwork network = network_of(small_network(2, 100, 6, 2, 12, 75, 60));
  network.norm.one_plus_weight = true;
  network.embedding_scale = 10;
  network.final_softcap = 3;
  LayerKind& kind = network.kinds.front();
  kind.post_norms = true;
  kind.ffn.activation = ActivationKind::GeluTanh;
  GroupedAttention& attention = attention_of(network);
  attention.qk_norm = QkNorm::PerHead;
  attention.shape.scale = 0.25;
  attention.shape.softcap = 2;
  attention.rope->layout = RopeLayout::HalfSplit;
  attention.rope->scaling = ops::LinearScaling{8};
  return network;
}

TEST(LpuKinds, NormsAfterHalvesSoftCapsAndGeglu) {
  expect_equal_to_reference(like_gemma(), narrow_geometry(4), ElementType::Float16, 5);
  expect_equal_to_reference(like_gemma(), narrow_geometry(2), ElementType::Fp8E4m3, 3);
}

// Gemma 4's feed-forward: a dense block and experts under norms of their own.
TEST(LpuKinds, ExpertsBesideADenseBlock) {
  NeuralNetwork network = small_mixture(2, 100, 10, 3, 40);
  LayerKind& kind = network.kinds.front();
  kind.post_norms = true;
  kind.ffn.intermediate = 70;
  kind.ffn.activation = ActivationKind::GeluTanh;
  mixture_of(network).router.rule = RouterRule::TopkSoftmax;
  mixture_of(network).router_norm = mixture_of(network).expert_scale = true;
  attention_of(network).rope->partial = ops::PartialRotary::Proportional;
  attention_of(network).rope->layout = RopeLayout::HalfSplit;
  attention_of(network).rope->rotated = 4;
  expect_equal_to_reference(network, narrow_geometry(4), ElementType::Float16, 4);
  expect_equal_to_reference(network, narrow_geometry(3), ElementType::Fp8E4m3, 2);
}

// GPT-2: LayerNorm, learned positions, biases everywhere, a block without a gate, no rotation.
NeuralNetwork like_gpt2(std::int64_t hidden) {
  NeuralNetwork network = network_of(small_network(2, hidden, 4, 4, 12, 75, 60));
  network.norm.kind = NormKind::Layer;
  network.learned_positions = true;
  LayerKind& kind = network.kinds.front();
  kind.ffn.gated = false;
  kind.ffn.bias = true;
  kind.ffn.activation = ActivationKind::GeluTanh;
  GroupedAttention& attention = attention_of(network);
  attention.qkv_bias = attention.output_bias = true;
  attention.rope.reset();
  return network;
}

TEST(LpuKinds, LayerNormsLearnedPositionsAndPlainBlocks) {
  expect_equal_to_reference(like_gpt2(100), narrow_geometry(4), ElementType::Float16, 4);
  expect_equal_to_reference(like_gpt2(64), narrow_geometry(2), ElementType::Fp8E4m3, 3);
}

// Greedy decoding in two-byte weights against the same weights in plain float.
void expect_tokens_of_the_reference_model(const NeuralNetwork& network, int positions) {
  const Weights weights = weights_in_format(random_weights(network, 29), ElementType::Float16);
  const Stage stage =
      tandem::whole_model(network, precision_of(ElementType::Float16, ElementType::Float16));
  StageUnderTest chip(narrow_geometry(4), stage, weights, 1, positions);
  ReferenceModel plain(weights);
  std::int32_t token = 3;
  for (int position = 0; position < positions; ++position) {
    const auto pass = chip.host->run_token(0, position, embedding_row(weights, token));
    const Tensor exact = plain.forward(token, position);
    ASSERT_EQ(pass.best_token, greedy({exact.floats().begin(), exact.floats().end()})) << position;
    ASSERT_EQ(pass.run.cycles, chip.compiled.cycles.at(position / 64 + 1));
    token = pass.best_token;
  }
}

TEST(LpuKinds, GemmaAndGptDecodeTheTokensOfTheReferenceModel) {
  expect_tokens_of_the_reference_model(like_gemma(), 24);
  expect_tokens_of_the_reference_model(like_gpt2(100), 24);
}

TEST(LpuKinds, Qwen35TinyDecodesTheTokensOfTheReferenceModel) {
  expect_tokens_of_the_reference_model(qwen35_tiny(), 40);
}

}  // namespace
}  // namespace tandem::test
