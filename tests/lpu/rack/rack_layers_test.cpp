// Kinds of layers beyond Llama's on gangs and pipelines of gangs: bits of a reference that adds by
// rank.
#include <gtest/gtest.h>

#include "models/lpu/rack_host.hpp"
#include "sim/lower/reference_model.hpp"
#include "tests/lpu/layer_kinds.hpp"
#include "tests/lpu/rack/gang_harness.hpp"
#include "tests/lpu/rack/shipped_fabrics.hpp"

namespace tandem::test {
namespace {

using lpu::RackHost;
using lpu::RackPlan;
using lpu::testing::ShippedFabric;

constexpr ElementType half = ElementType::Float16;

void expect_bits_of_the_gang(const NeuralNetwork& network, int tensor, int pipeline) {
  SCOPED_TRACE(std::to_string(tensor) + " x " + std::to_string(pipeline));
  const Weights weights = random_weights(network, 21);
  const ShippedFabric fabric("lpu_v1_quadfour", {1});
  const RackPlan plan{partition_pipeline(network, precision_of(half, half), pipeline, 0), tensor};
  RackHost rack(fabric.topology, fabric.geometry, fabric.latencies, plan, 1, 128, weights);
  for (const lpu::CompiledStage& chip : rack.program().chips) {
    expect_verified(chip, fabric.geometry, fabric.latencies);
  }
  GangReference gang(rank_shares(weights, tensor), half, half, 320);
  for (int position = 0; position < 2; ++position) {
    const std::int32_t token = 3 + 5 * position;
    const auto pass = rack.run_token(0, position, embedding_row(weights, token));
    ASSERT_EQ(pass.logits, gang.forward(token)) << position;
    ASSERT_EQ(pass.run.cycles, rack.program().cycles(1));
  }
}

TEST(LpuRackLayers, NormsAfterTheSumOverRanks) {
  expect_bits_of_the_gang(like_gemma(), 2, 1);
  expect_bits_of_the_gang(like_gemma(), 2, 2);
}

TEST(LpuRackLayers, BiasesJoinTheHiddenStateOnce) {
  expect_bits_of_the_gang(like_gpt2(100), 2, 2);
}

TEST(LpuRackLayers, NormsOverTheHeadsOfAllRanks) {
  NeuralNetwork network = like_minimax();
  expect_bits_of_the_gang(network, 2, 2);
  expect_bits_of_the_gang(network, 4, 1);
}

TEST(LpuRackLayers, SlicesOfExpertsWithTheirBiases) {
  NeuralNetwork network = small_mixture(2, 100, 8, 2, 70);
  make_like_gpt_oss(network);
  expect_bits_of_the_gang(network, 2, 2);
}

TEST(LpuRackLayers, GatedOutputsAndSharedExperts) {
  expect_bits_of_the_gang(like_qwen_next(), 2, 1);
}

// Heads of Gated DeltaNet divide over a gang like those of attention: the float model's tokens.
TEST(LpuRackLayers, RecurrentLayersOnTensorGangs) {
  NeuralNetwork network = network_of(small_network(3, 64, 4, 2, 16, 96, 50));
  LayerKind delta = network.kinds.front();
  delta.mixer = GatedDelta{{2, 4, 16, 16, 4, 64}};
  network.kinds.push_back(delta);
  network.pattern = {1, 0, 1};
  const Weights weights = random_weights(network, 12);
  const ShippedFabric fabric("lpu_v1_quadfour", {1});
  const RackPlan plan{partition_pipeline(network, precision_of(half, half), 1, 0), 2};
  RackHost rack(fabric.topology, fabric.geometry, fabric.latencies, plan, 1, 128, weights);
  for (const lpu::CompiledStage& chip : rack.program().chips) {
    expect_verified(chip, fabric.geometry, fabric.latencies);
  }
  ReferenceModel plain(weights);
  for (int position = 0; position < 5; ++position) {
    const std::int32_t token = position * 11 % 50;
    const auto pass = rack.run_token(0, position, embedding_row(weights, token));
    const Tensor expected = plain.forward(token, position);
    ASSERT_EQ(pass.run.cycles, rack.program().cycles(1));
    ASSERT_EQ(pass.logits.size(), expected.floats().size());
    for (std::size_t i = 0; i < pass.logits.size(); ++i) {
      // Logits of order one from weights and activations of eleven bits.
      ASSERT_NEAR(pass.logits[i], expected.floats()[i], 0.02F) << position;
    }
  }
}

}  // namespace
}  // namespace tandem::test
