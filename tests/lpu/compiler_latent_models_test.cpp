// Latent attention on whole vectors and on gangs, the small DeepSeek-V3 of the catalogue, and
// layers of the published one.
#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <string>

#include "models/lpu/compiler/rank_share.hpp"
#include "models/lpu/rack_host.hpp"
#include "models/lpu/stage_floor.hpp"
#include "sim/lower/reference_model.hpp"
#include "tests/lower/seeded_weights.hpp"
#include "tests/lower/tiny_networks.hpp"
#include "tests/lpu/latent_harness.hpp"
#include "tests/lpu/rack/gang_harness.hpp"
#include "tests/lpu/rack/shipped_fabrics.hpp"

namespace tandem::test {
namespace {

using lpu::testing::ShippedFabric;

constexpr ElementType two_bytes = ElementType::Float16;
constexpr ElementType one_byte = ElementType::Fp8E4m3;

TEST(LpuLatentModels, EqualTheReferenceOverSeveralBlocks) {
  const NeuralNetwork network = latent_network(latent_shape(5, 20, 26, 7, 6, 9), 1, 30, 20, 30);
  for (const ElementType kv : {two_bytes, one_byte}) {
    expect_equal_to_reference(random_weights(network, 3), narrow_geometry(1), two_bytes, kv, 150);
  }
}

// Two vectors of 320 lanes per key, as in DeepSeek-V3.
TEST(LpuLatentModels, EqualTheReferenceOnLpuV1AndLp30) {
  const NeuralNetwork network =
      latent_network(latent_shape(3, 330, 512, 128, 64, 128), 1, 200, 100, 60);
  const Weights weights = random_weights(network, 5);
  expect_equal_to_reference(weights, lpu_v1_geometry(), two_bytes, two_bytes, 2);
  expect_equal_to_reference(weights, lp30_geometry(), one_byte, one_byte, 2);
}

// Experts in groups behind a dense layer; the tokens that the float model chooses.
TEST(LpuLatentModels, DecodeTheSmallDeepseekOfTheCatalogue) {
  const Weights weights = seeded_weights(dsv3_tiny());
  const Stage stage = tandem::whole_model(weights.network, precision_of(two_bytes, two_bytes));
  StageUnderTest chip(lp30_geometry(), stage, weights, 1, 16);
  LpuReference reference(weights, two_bytes, two_bytes, 320);
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
    const lpu::RackPlan plan{{tandem::whole_model(network, precision_of(two_bytes, one_byte))},
                             ranks};
    lpu::RackHost rack(fabric.topology, fabric.geometry, fabric.latencies, plan, 1, 64, weights);
    for (const lpu::CompiledStage& chip : rack.program().chips) {
      expect_verified(chip, fabric.geometry, fabric.latencies);
    }
    GangReference gang(rank_shares(weights, ranks), two_bytes, one_byte, fabric.geometry.lanes());
    for (int position = 0; position < 36; ++position) {
      const std::int32_t token = position * 11 % 40;
      const auto pass = rack.run_token(0, position, embedding_row(weights, token));
      ASSERT_EQ(pass.logits, gang.forward(token)) << position;
      ASSERT_EQ(pass.run.cycles, rack.program().cycles(position / 32 + 1));
    }
  }
}

// Requests at different positions and a chunk of a prompt in one pass: what single tokens give.
TEST(LpuLatentModels, PassesOfSeveralTokensGiveTheBitsOfSingleOnes) {
  const NeuralNetwork network = latent_network(latent_shape(20, 24, 20, 10, 6, 12), 2, 50, 40, 40);
  const Weights weights = random_weights(network, 9);
  const auto geometry = narrow_geometry(1);
  const Stage stage = tandem::whole_model(network, precision_of(two_bytes, one_byte));
  StageUnderTest single(geometry, stage, weights, 2, 48);
  const auto compiled =
      lpu::compile_stage(geometry, lpu::LatencyTable{}, "chip", stage, 2, 48, {}, {3});
  expect_verified(compiled, geometry);
  lpu::ChipHost host(geometry, lpu::LatencyTable{}, compiled, weights);
  for (int pass = 0; pass < 14; ++pass) {
    std::vector<lpu::TokenPlace> places{{0, 2 * pass}, {0, 2 * pass + 1}};
    if (pass >= 3) places.push_back({1, pass - 3});
    std::vector<std::span<const float>> hidden;
    for (const auto& [slot, position] : places) {
      hidden.push_back(embedding_row(weights, static_cast<std::int32_t>(position * 3 + slot) % 40));
    }
    const auto batch = host.run_tokens(places, hidden);
    for (std::size_t i = 0; i < places.size(); ++i) {
      const auto alone = single.host->run_token(places[i].slot, places[i].position, hidden[i]);
      ASSERT_EQ(batch.tokens[i].logits, alone.logits) << pass << " " << i;
    }
  }
}

struct Layer {
  const char* name;
  lpu::Geometry geometry;
  bool has_experts;
  int ranks;
  std::int64_t context;
};

// A rank's share of one layer of DeepSeek-V3 with a head of one vector. 64 LPU v1
// hold 11 GB of experts, but not in the slices that this layout gives to weights.
TEST(LpuLatentModels, LayersOfDeepseekV3CompileFastAndComeNearTheirFloor) {
  const std::array layers{Layer{"dense on LP30", lp30_geometry(), false, 16, 320},
                          Layer{"experts on LP30", lp30_geometry(), true, 32, 320},
                          Layer{"dense on LP30, 10,240 tokens", lp30_geometry(), false, 16, 10240},
                          Layer{"dense on LPU v1", lpu_v1_geometry(), false, 16, 320},
                          Layer{"experts on LPU v1", lpu_v1_geometry(), true, 128, 320}};
  for (const Layer& layer : layers) {
    SCOPED_TRACE(layer.name);
    const Stage whole =
        tandem::whole_model(deepseek_v3_layer(layer.has_experts), precision_of(one_byte, one_byte));
    Stage share = lpu::rank_stage(whole, layer.ranks, layer.ranks - 1);
    share.network.vocabulary = share.head_end;
    const auto begin = std::chrono::steady_clock::now();
    const auto compiled =
        lpu::compile_stage(layer.geometry, lpu::LatencyTable{}, "chip", share, 1, layer.context);
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
    const auto floor =
        lpu::floor_of_stage(layer.geometry, lpu::LatencyTable{}, share, layer.context);
    const std::int64_t cycles = compiled.cycles.at((layer.context + 319) / 320);
    const double ratio = double(cycles) / double(floor.cycles());
    EXPECT_GE(ratio, 1.0);
    EXPECT_LE(ratio, 1.25);
    const std::string name = layer.name;
    RecordProperty(name + " cycles", std::to_string(cycles));
    RecordProperty(name + " ratio", std::to_string(ratio));
    RecordProperty(name + " seconds", std::to_string(seconds.count()));
    for (const lpu::LoopUse& loop : compiled.loops) {
      RecordProperty(name + " cycles per block, " + loop.name,
                     std::to_string(loop.per_block(loop.interval)));
    }
  }
}

}  // namespace
}  // namespace tandem::test
