// Kinds of layers beyond Llama's on the machine: gates, norms and blocks as Qwen3.5 has them.
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

TEST(LpuKinds, Qwen35TinyDecodesTheTokensOfTheReferenceModel) {
  expect_tokens_of_the_reference_model(qwen35_tiny(), 40);
}

}  // namespace
}  // namespace tandem::test
