// Mixtures of experts on the machine: bits of the independent reference whatever the routing, in
// cycles that do not depend on it.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>

#include "sim/lower/reference_model.hpp"
#include "tests/lpu/layer_kinds.hpp"

namespace tandem::test {
namespace {

TEST(LpuExperts, SoftmaxRoutingOnNarrowVectors) {
  expect_equal_to_reference(small_mixture(2, 100, 12, 3, 40), narrow_geometry(4),
                            ElementType::Float16, 6);
}

TEST(LpuExperts, SeveralVectorsPerExpertAndASharedOne) {
  NeuralNetwork network = small_mixture(1, 100, 9, 2, 100);
  add_shared(network, 70);
  expect_equal_to_reference(network, narrow_geometry(3), ElementType::Float16, 4);
}

TEST(LpuExperts, OneByteWeightsShareOneFactor) {
  NeuralNetwork network = small_mixture(1, 100, 10, 4, 40);
  add_shared(network, 30);
  mixture_of(network).router.rule = RouterRule::TopkSoftmax;
  mixture_of(network).router.bias = true;
  expect_equal_to_reference(network, narrow_geometry(4), ElementType::Fp8E4m3, 4);
}

TEST(LpuExperts, SigmoidsInGroups) {
  NeuralNetwork network = small_mixture(2, 64, 16, 4, 24);
  set_groups(network, 4, 2);
  add_shared(network, 24);
  expect_equal_to_reference(network, narrow_geometry(4), ElementType::Float16, 4);
}

// All rules, 3 to 31 experts, shapes that fill no vector.
TEST(LpuExperts, AnyShapeEqualsTheReference) {
  const char* wanted = std::getenv("TANDEM_LPU_CASES");
  const int cases = wanted != nullptr ? std::atoi(wanted) : 6;
  for (int seed = 0; seed < cases; ++seed) {
    SCOPED_TRACE(seed);
    RandomStream random(static_cast<std::uint64_t>(seed), "experts");
    const std::int64_t experts = random.integer(3, 31);
    NeuralNetwork network = small_mixture(random.integer(1, 2), random.integer(3, 150), experts,
                                          random.integer(1, std::min<std::int64_t>(8, experts - 1)),
                                          random.integer(1, 80));
    ops::Router& router = mixture_of(network).router;
    constexpr RouterRule rules[] = {RouterRule::SoftmaxTopk, RouterRule::TopkSoftmax,
                                    RouterRule::SigmoidBias};
    router.rule = rules[random.integer(0, 2)];
    router.bias = random.integer(0, 1) == 1;
    router.renormalise = random.integer(0, 1) == 1;
    if (random.integer(0, 1) == 1) add_shared(network, random.integer(1, 80));
    constexpr ElementType types[] = {ElementType::Float16, ElementType::Bfloat16,
                                     ElementType::Fp8E4m3};
    expect_equal_to_reference(network, narrow_geometry(static_cast<int>(random.integer(2, 4))),
                              types[random.integer(0, 2)], 2, static_cast<std::uint64_t>(seed));
    if (HasFatalFailure()) return;
  }
}

// Equal router rows give equal scores: the lower index wins, as in the reference operator.
TEST(LpuExperts, TiesGoToTheLowerIndex) {
  const NeuralNetwork network = small_mixture(1, 64, 8, 3, 24);
  Weights weights = random_weights(network, 3);
  Tensor& router = weights.tensors.at("layers.0.experts.router");
  for (std::int64_t row = 1; row < 8; ++row) {
    std::copy_n(router.floats().begin(), 64, router.floats().begin() + row * 64);
  }
  const Stage stage =
      tandem::whole_model(network, precision_of(ElementType::Float16, ElementType::Float16));
  StageUnderTest chip(narrow_geometry(4), stage, weights, 1, 4);
  LpuReference reference(weights, ElementType::Float16, ElementType::Float16, 64);
  EXPECT_EQ(chip.host->run_token(0, 0, embedding_row(weights, 5)).logits, reference.forward(5));
}

// Several heads per vector and a head size whose rounds of rotations are of two radices.
TEST(LpuHeads, NormsOverQueryAndKeyHeads) {
  NeuralNetwork network = small_mixture(2, 100, 8, 2, 40);
  attention_of(network).qk_norm = QkNorm::PerHead;
  attention_of(network).shape.head_dim = 24;
  attention_of(network).rope->rotated = 24;
  attention_of(network).rope->layout = RopeLayout::HalfSplit;
  expect_equal_to_reference(network, narrow_geometry(4), ElementType::Float16, 5);
  expect_equal_to_reference(network, narrow_geometry(4), ElementType::Fp8E4m3, 3);
}

TEST(LpuHeads, BiasesSinksAndYarnWithClampedExperts) {
  NeuralNetwork network = small_mixture(2, 100, 8, 2, 70);
  make_like_gpt_oss(network);
  expect_equal_to_reference(network, narrow_geometry(4), ElementType::Float16, 5);
  expect_equal_to_reference(network, narrow_geometry(4), ElementType::Fp8E4m3, 3);
}

TEST(LpuHeads, PartialRotationLeavesTheOtherChannels) {
  NeuralNetwork network = small_mixture(1, 64, 8, 2, 24);
  attention_of(network).rope->rotated = 4;
  attention_of(network).rope->layout = RopeLayout::HalfSplit;
  expect_equal_to_reference(network, narrow_geometry(4), ElementType::Float16, 5);
}

// The same weights in plain float: the tokens of the reference model.
TEST(LpuExperts, DecodeTheTokensOfTheReferenceModel) {
  NeuralNetwork network = small_mixture(2, 64, 16, 4, 24);
  set_groups(network, 4, 2);
  add_shared(network, 24);
  const Weights weights = weights_in_format(random_weights(network, 29), ElementType::Float16);
  const Stage stage =
      tandem::whole_model(network, precision_of(ElementType::Float16, ElementType::Float16));
  StageUnderTest chip(narrow_geometry(4), stage, weights, 1, 32);
  ReferenceModel plain(weights);
  std::int32_t token = 3;
  for (int position = 0; position < 24; ++position) {
    const auto pass = chip.host->run_token(0, position, embedding_row(weights, token));
    const Tensor exact = plain.forward(token, position);
    ASSERT_EQ(pass.best_token, greedy({exact.floats().begin(), exact.floats().end()})) << position;
    token = pass.best_token;
  }
}

}  // namespace
}  // namespace tandem::test
