// Latent attention on whole vectors and on gangs, the small DeepSeek-V3 of the catalogue, and
// layers of the published one.
#include <gtest/gtest.h>

#include <chrono>

#include "models/lpu/compiler/rank_share.hpp"
#include "models/lpu/rack_host.hpp"
#include "sim/lower/reference_model.hpp"
#include "tests/lower/seeded_weights.hpp"
#include "tests/lower/tiny_networks.hpp"
#include "tests/lpu/latent_harness.hpp"
#include "tests/lpu/rack/shipped_fabrics.hpp"

namespace tandem::test {
namespace {

using lpu::testing::ShippedFabric;

constexpr ElementType half = ElementType::Float16;
constexpr ElementType byte = ElementType::Fp8E4m3;

TEST(LpuLatentModels, EqualTheReferenceOverSeveralBlocks) {
  const NeuralNetwork network = latent_network(latent_shape(5, 20, 26, 7, 6, 9), 1, 30, 20, 30);
  for (const ElementType kv : {half, byte}) {
    expect_latent_bits(random_weights(network, 3), narrow_geometry(1), half, kv, 150);
  }
}

// Two vectors of 320 lanes per key, as in DeepSeek-V3.
TEST(LpuLatentModels, EqualTheReferenceOnLpuV1AndLp30) {
  const NeuralNetwork network =
      latent_network(latent_shape(3, 330, 512, 128, 64, 128), 1, 200, 100, 60);
  const Weights weights = random_weights(network, 5);
  expect_latent_bits(weights, lpu_v1_geometry(), half, half, 2);
  expect_latent_bits(weights, lp30_geometry(), byte, byte, 2);
}

// Experts in groups behind a dense layer; the tokens that the float model chooses.
TEST(LpuLatentModels, DecodeTheSmallDeepseekOfTheCatalogue) {
  const Weights weights = seeded_weights(dsv3_tiny());
  const Stage stage = tandem::whole_model(weights.network, precision_of(half, half));
  StageUnderTest chip(lp30_geometry(), stage, weights, 1, 16);
  LpuReference reference(weights, half, half, 320);
  ReferenceModel plain(weights);
  std::int32_t token = 7;
  for (int position = 0; position < 8; ++position) {
    const auto pass = chip.host->run_token(0, position, embedding_row(weights, token));
    ASSERT_EQ(pass.logits, reference.forward(token)) << position;
    const Tensor exact = plain.forward(token, position);
    const std::vector<float> logits(exact.floats().begin(), exact.floats().end());
    EXPECT_EQ(pass.best_token, greedy(logits)) << position;
    token = pass.best_token;
  }
}

// Ranks have heads of their own and every latent: sums by rank, over the second block too.
TEST(LpuLatentModels, OfGangsHaveTheBitsOfTheReferenceThatAddsByRank) {
  const NeuralNetwork network = latent_network(latent_shape(8, 24, 40, 10, 6, 12), 2, 50, 40, 40);
  const Weights weights = random_weights(network, 8);
  ShippedFabric fabric("lpu_v1_quadfour", {1});
  fabric.geometry.superlanes = 2;
  fabric.geometry.plane_rows = fabric.geometry.plane_columns = fabric.geometry.lanes();
  for (const int ranks : {2, 4}) {
    SCOPED_TRACE(ranks);
    const lpu::RackPlan plan{{tandem::whole_model(network, precision_of(half, byte))}, ranks};
    lpu::RackHost rack(fabric.topology, fabric.geometry, fabric.latencies, plan, 1, 64, weights);
    for (const lpu::CompiledStage& chip : rack.program().chips) {
      for (const auto& fault : lpu::verify(chip.program, fabric.geometry, fabric.latencies)) {
        ADD_FAILURE() << lpu::format_violation(fault);
      }
    }
    std::vector<Weights> shares;
    for (int r = 0; r < ranks; ++r) shares.push_back(lpu::rank_weights(weights, ranks, r));
    GangReference gang(shares, half, byte, fabric.geometry.lanes());
    for (int position = 0; position < 36; ++position) {
      const std::int32_t token = position * 11 % 40;
      const auto pass = rack.run_token(0, position, embedding_row(weights, token));
      ASSERT_EQ(pass.logits, gang.forward(token)) << position;
      ASSERT_EQ(pass.run.cycles, rack.program().cycles(position / 32 + 1));
    }
  }
}

}  // namespace
}  // namespace tandem::test
