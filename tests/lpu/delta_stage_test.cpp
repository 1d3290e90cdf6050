// Gated DeltaNet layers in stages: a decoder of both kinds of layers against the float model, on
// one chip and on several, request after request.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "models/lpu/verifier.hpp"
#include "sim/lower/reference_model.hpp"
#include "tests/lpu/compiler_harness.hpp"

namespace tandem::test {
namespace {

using lpu::LatencyTable;

// Two layers of Gated DeltaNet, one of attention; 32 lanes hold a key vector of two heads and packs
// of three value heads.
NeuralNetwork hybrid_network() {
  NeuralNetwork network = network_of(small_network(3, 50, 6, 3, 10, 75, 70));
  LayerKind delta = network.kinds.front();
  delta.mixer = GatedDelta{{2, 8, 12, 10, 4, 64}};
  network.kinds.push_back(delta);
  network.pattern = {1, 1, 0};
  network.norm.one_plus_weight = true;
  return network;
}

Precision half_precision() {
  return precision_of(ElementType::Float16, ElementType::Float16);
}

TEST(DeltaStage, FollowsTheFloatModelOver34Tokens) {
  const Weights weights = random_weights(hybrid_network(), 3);
  StageUnderTest chip(narrow_geometry(2), tandem::whole_model(weights.network, half_precision()),
                      weights, 1, 64);
  ReferenceModel plain(weights);
  float difference = 0;
  int agreeing = 0;
  for (int t = 0; t < 34; ++t) {  // the second KV block begins at 32
    const std::int32_t token = t * 7 % 70;
    const auto pass = chip.host->run_token(0, t, embedding_row(weights, token));
    const Tensor exact = plain.forward(token, t);
    for (std::size_t i = 0; i < pass.logits.size(); ++i) {
      difference = std::max(difference, std::fabs(pass.logits[i] - exact.floats()[i]));
    }
    agreeing += greedy(pass.logits) == greedy(exact.floats()) ? 1 : 0;
    ASSERT_EQ(pass.run.cycles, chip.compiled.cycles.at(t / 32 + 1)) << t;
  }
  // Weights and activations of eleven bits: logits of order one agree to about a hundredth.
  EXPECT_LE(difference, 0.02F);
  EXPECT_GE(agreeing, 33);
}

TEST(DeltaStage, APipelineGivesTheBitsOfOneChip) {
  const Weights weights = random_weights(hybrid_network(), 4);
  StageUnderTest single(narrow_geometry(2), tandem::whole_model(weights.network, half_precision()),
                        weights, 1, 8);
  std::vector<std::unique_ptr<StageUnderTest>> chain;
  for (const Stage& stage : partition_pipeline(weights.network, half_precision(), 3, 0)) {
    chain.push_back(std::make_unique<StageUnderTest>(narrow_geometry(2), stage, weights, 1, 8));
  }
  ASSERT_EQ(chain.size(), 3U);
  for (int t = 0; t < 6; ++t) {
    const auto row = embedding_row(weights, t + 5);
    std::vector<float> hidden(row.begin(), row.end());
    for (std::size_t i = 0; i + 1 < chain.size(); ++i) {
      hidden = chain[i]->host->run_token(0, t, hidden).hidden;
    }
    const auto last = chain.back()->host->run_token(0, t, hidden);
    EXPECT_EQ(last.logits, single.host->run_token(0, t, row).logits) << t;
  }
}

TEST(DeltaStage, RequestsBeginWithEmptyStatesAndKeepToTheirSlots) {
  const Weights weights = random_weights(hybrid_network(), 5);
  const Stage stage = tandem::whole_model(weights.network, half_precision());
  StageUnderTest alone(narrow_geometry(2), stage, weights, 1, 32);
  StageUnderTest shared(narrow_geometry(2), stage, weights, 3, 32);
  // Of a chip that had no request before.
  std::vector<std::vector<float>> expected;
  for (int t = 0; t < 4; ++t) {
    expected.push_back(alone.host->run_token(0, t, embedding_row(weights, t)).logits);
  }
  for (int request = 0; request < 2; ++request) {
    for (int t = 0; t < 4; ++t) {
      static_cast<void>(shared.host->run_token(0, t, embedding_row(weights, t + 30)));
      const auto mine = shared.host->run_token(1, t, embedding_row(weights, t));
      static_cast<void>(shared.host->run_token(2, t, embedding_row(weights, t + 60)));
      ASSERT_EQ(mine.logits, expected[static_cast<std::size_t>(t)]) << request << " " << t;
    }
  }
}

TEST(DeltaStage, ProgramsAreFreeOfHazardsInAllFormats) {
  for (const ElementType type : {ElementType::Float16, ElementType::Fp8E4m3}) {
    const Stage stage = tandem::whole_model(hybrid_network(), precision_of(type, type));
    const auto compiled =
        lpu::compile_stage(narrow_geometry(2), LatencyTable{}, "chip", stage, 2, 64);
    for (const auto& fault : lpu::verify(compiled.program, narrow_geometry(2), LatencyTable{})) {
      ADD_FAILURE() << lpu::format_violation(fault);
    }
  }
}

// One byte of weights on the wide weight path: factors come from SRAM there.
TEST(DeltaStage, OneByteWeightsOnTheWideWeightPathFollowTheFloatModel) {
  NeuralNetwork network = hybrid_network();
  network.pattern = {1};
  network.kinds[1].mixer = GatedDelta{{4, 8, 32, 64, 4, 64}};
  const Weights weights = random_weights(network, 6);
  const Precision byte = precision_of(ElementType::Fp8E4m3, ElementType::Fp8E4m3);
  StageUnderTest chip(lp30_geometry(), tandem::whole_model(network, byte), weights, 1, 64);
  ReferenceModel plain(weights);
  double squares = 0, errors = 0;
  for (int t = 0; t < 3; ++t) {
    const auto pass = chip.host->run_token(0, t, embedding_row(weights, t));
    const Tensor exact = plain.forward(t, t);
    for (std::size_t i = 0; i < pass.logits.size(); ++i) {
      squares += std::pow(exact.floats()[i], 2);
      errors += std::pow(pass.logits[i] - exact.floats()[i], 2);
    }
    ASSERT_EQ(pass.run.cycles, chip.compiled.cycles.at(1));
  }
  EXPECT_LE(std::sqrt(errors / squares), 0.1);  // three bits of mantissa
}

TEST(DeltaStage, LayersOfDifferentShapesAreRefusedByName) {
  NeuralNetwork network = hybrid_network();
  LayerKind other = network.kinds[1];
  other.mixer = GatedDelta{{2, 4, 12, 10, 4, 64}};
  network.kinds.push_back(other);
  network.pattern = {1, 2};
  EXPECT_THROW(lpu::compile_stage(narrow_geometry(2), LatencyTable{}, "chip",
                                  tandem::whole_model(network, half_precision()), 1, 8),
               ModelError);
}

}  // namespace
}  // namespace tandem::test
