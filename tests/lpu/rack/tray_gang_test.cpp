// Gangs larger than a tray: the same bits as a reference that adds within trays and then over them,
// and the shapes that a chip's links allow.
#include <gtest/gtest.h>

#include "models/lpu/gang_host.hpp"
#include "models/lpu/stage_floor.hpp"
#include "models/lpu/stage_gang.hpp"
#include "sim/core/diagnostics.hpp"
#include "tests/lpu/halves_harness.hpp"
#include "tests/lpu/layer_kinds.hpp"

namespace tandem::test {
namespace {

const Precision fp16_on_trays = precision_of(ElementType::Float16, ElementType::Float16);

// Trays of up to three chips, up to three trays: vectors of 32 lanes.
lpu::Geometry small_trays() {
  lpu::Geometry geometry = narrow_geometry(2);
  geometry.links = {{"c2c", 2, 27, 216 + 27}};
  geometry.tray_links = {"tray", 2, 54, 400};
  return geometry;
}

TEST(LpuTrayGangs, TakeTheFewestTraysThatTheyFillEvenly) {
  const lpu::Geometry lp30 = lpu::geometry_of(lpu::testing::shipped().chip("lp30"));
  const auto shape = [&](std::int64_t chips) { return lpu::gang_shape(lp30, chips); };
  EXPECT_EQ(shape(16), (lpu::GangShape{16, 1}));
  EXPECT_EQ(shape(24), (lpu::GangShape{24, 2}));  // 12 of either tray
  EXPECT_EQ(shape(32), (lpu::GangShape{32, 2}));
  EXPECT_EQ(shape(40), (lpu::GangShape{40, 4}));  // 3 do not divide it
  EXPECT_EQ(shape(256), (lpu::GangShape{256, 16}));
  EXPECT_THROW(static_cast<void>(shape(17)), ModelError);  // 17 trays of one: a chip reaches 15
  EXPECT_THROW(static_cast<void>(shape(272)), ModelError);
}

TEST(LpuTrayGangs, OfHalvesHaveTheBitsOfTheReferenceThatAddsTrayByTray) {
  const lpu::Geometry geometry = small_trays();
  const auto chip = lpu::make_lpu_chip(chip_of(geometry), Software{});
  const NeuralNetwork dense = network_of(small_network(2, 100, 8, 4, 12, 150, 60));
  for (const std::int64_t chips : {4, 6, 9}) {
    expect_halves_equal_the_reference(*chip, geometry, all_halves(dense, fp16_on_trays, chips), 3);
  }
  const NeuralNetwork mixture = lpu::testing::shipped().network("dsv3-tiny");
  expect_halves_equal_the_reference(*chip, geometry, all_halves(mixture, fp16_on_trays, 4), 2);
}

// Two all-reduces a layer, and norms over the heads of all ranks.
TEST(LpuTrayGangs, OfWholeModelsDecodeWithTheBitsOfTheReference) {
  const lpu::Geometry geometry = small_trays();
  const NeuralNetwork network = like_minimax();
  const Weights weights = random_weights(network, 21);
  Stage stage = tandem::whole_model(network, fp16_on_trays);
  stage.tensor = 4;
  const auto compiled =
      lpu::compile_share(geometry, lpu::LatencyTable{}, "chip", stage, 1, geometry.lanes());
  expect_verified(compiled.of_rank(stage, 3), lpu::geometry_of_share(geometry, 4));
  lpu::GangHost host(geometry, lpu::LatencyTable{}, stage, compiled, weights);
  GangReference gang(rank_shares(weights, 4), ElementType::Float16, ElementType::Float16,
                     geometry.lanes(), 2);
  for (int position = 0; position < 3; ++position) {
    const std::int32_t token = 3 + 5 * position;
    const lpu::TokenPlace place{0, position};
    const auto pass = host.run_tokens({&place, 1}, {embedding_row(weights, token)});
    ASSERT_EQ(pass.tokens.front().logits, gang.forward(token)) << position;
  }
}

class DeepseekHalves : public testing::Test {
 protected:
  Chip lp30_ = lpu::testing::shipped().chip("lp30");
  std::unique_ptr<ChipModel> chip_ = lpu::make_lpu_chip(lp30_, Software{});
  const NeuralNetwork network_ = lpu::testing::shipped().network("deepseek-v3");
  [[nodiscard]] Stage on(std::int64_t chips) const {
    const Precision byte = precision_of(ElementType::Fp8E4m3, ElementType::Fp8E4m3);
    return half_stage(network_, byte, 10, 1, chips);
  }
};

// 7,168 channels are 23 vectors. On 32 chips an expert's 2,048 are 64 each, five side by side in a
// vector: 52 units of 256 experts and the shared one, each 23 tiles of gate, up and down, and 23 of
// the router. On 16 chips 128 each, two side by side: 128 units, 904 MB of 500.
TEST_F(DeepseekHalves, OfOneLayerLieOn32Lp30) {
  const Fit fit = chip_->fit(on(32), 1, 1);
  EXPECT_TRUE(fit.holds_weights());
  EXPECT_EQ(fit.weights, Bytes((53 * 69 + 23) * std::int64_t{320} * 320));
  EXPECT_FALSE(chip_->fit(on(16), 1, 1).holds_weights());
  EXPECT_FALSE(chip_->fit(on(24), 1, 1).holds_weights());
}

TEST_F(DeepseekHalves, PassWithinAFifthOfTheFloor) {
  const lpu::Geometry geometry = lpu::geometry_of(lp30_);
  const StageCost cost = chip_->simulate(on(32), decode_of(1), nullptr);
  const auto floor = lpu::floor_of_stage(geometry, lpu::latencies_of(lp30_), on(32), 1,
                                         lpu::gang_shape(geometry, 32));
  RecordProperty("cycles", std::to_string(cost.cycles.count()));
  RecordProperty("floor", std::to_string(floor.cycles()));
  EXPECT_GT(cost.cycles.count(), floor.cycles());
  EXPECT_LT(cost.cycles.count(), 1.2 * static_cast<double>(floor.cycles()));
  // A stage between others passes once through a tray (480 cycles), over trays (555) and, for what
  // comes in, through its tray again; a hop inside one tray less is what 16 chips would take.
  const auto tray = lpu::floor_of_stage(geometry, lpu::latencies_of(lp30_), on(32), 1, {32, 1});
  EXPECT_GT(floor.cycles(), tray.cycles() + 555);
}

}  // namespace
}  // namespace tandem::test
