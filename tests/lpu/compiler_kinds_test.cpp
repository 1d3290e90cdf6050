// Kinds of layers beyond Llama's on the machine: gates, norms and blocks as Qwen3.5, Gemma and GPT
// have them.
#include <gtest/gtest.h>

#include <algorithm>

#include "sim/lower/reference_model.hpp"
#include "tests/lower/tiny_networks.hpp"
#include "tests/lpu/layer_kinds.hpp"

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

TEST(LpuKinds, LayerNormsLearnedPositionsAndPlainBlocks) {
  expect_equal_to_reference(like_gpt2(100), narrow_geometry(4), ElementType::Float16, 4);
  expect_equal_to_reference(like_gpt2(64), narrow_geometry(2), ElementType::Fp8E4m3, 3);
}

TEST(LpuKinds, NormsOverAllHeads) {
  expect_equal_to_reference(like_minimax(), narrow_geometry(2), ElementType::Float16, 4);
  NeuralNetwork network = like_minimax();
  attention_of(network).qkv_bias = true;
  expect_equal_to_reference(network, narrow_geometry(4), ElementType::Fp8E4m3, 3);
}

// Gemma 4's global layers: one projection gives keys and values, which have a norm without weights.
TEST(LpuKinds, ValuesFromKeys) {
  NeuralNetwork network = like_gemma();
  attention_of(network).keys_are_values = attention_of(network).value_norm = true;
  expect_equal_to_reference(network, narrow_geometry(4), ElementType::Float16, 4);
  attention_of(network).keys_are_values = false;
  attention_of(network).qk_norm = QkNorm::None;
  expect_equal_to_reference(network, narrow_geometry(2), ElementType::Fp8E4m3, 3);
}

// 70 experts on vectors of 32 lanes: three runs of 24, of which the last is not full.
TEST(LpuKinds, ExpertsOverSeveralVectors) {
  NeuralNetwork network = small_mixture(1, 60, 70, 10, 12);
  add_shared(network, 20);
  mixture_of(network).shared_gate = true;
  expect_equal_to_reference(network, narrow_geometry(2), ElementType::Float16, 3);
  mixture_of(network).router.renormalise = false;
  expect_equal_to_reference(network, narrow_geometry(2), ElementType::Fp8E4m3, 2);
  mixture_of(network).router.rule = RouterRule::SigmoidBias;
  mixture_of(network).router.bias = true;
  mixture_of(network).router.experts = 35;
  expect_equal_to_reference(network, narrow_geometry(2), ElementType::Bfloat16, 2);
}

// Equal scores: the lower index wins between the vectors of experts too.
TEST(LpuKinds, TiesOverSeveralVectorsGoToTheLowerIndex) {
  constexpr std::int64_t hidden = 60, experts = 70;
  Weights weights = random_weights(small_mixture(1, hidden, experts, 10, 12), 3);
  Tensor& router = weights.tensors.at("layers.0.experts.router");
  for (std::int64_t row = 1; row < experts; ++row) {
    std::copy_n(router.floats().begin(), hidden, router.floats().begin() + row * hidden);
  }
  expect_equal_to_reference(weights, narrow_geometry(2), ElementType::Float16, ElementType::Float16,
                            1);
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
