// Stages that hold only the feed-forward halves of layers: what they compute, what they take, and
// what they no longer need.
#include <gtest/gtest.h>

#include "models/lpu/compiler/memory_map.hpp"
#include "models/lpu/stage_floor.hpp"
#include "models/lpu/stage_gang.hpp"
#include "tests/lpu/halves_harness.hpp"

namespace tandem::test {
namespace {

using lpu::testing::shipped;

const Precision fp16_halves = precision_of(ElementType::Float16, ElementType::Float16);
const Precision fp8_halves = precision_of(ElementType::Fp8E4m3, ElementType::Fp8E4m3);

DenseDecoder dense_decoder() {
  return small_network(3, 100, 8, 4, 12, 150, 60);
}

class HalvesOfNarrowChips : public testing::Test {
 protected:
  lpu::Geometry geometry_ = narrow_geometry(2);  // vectors of 32 lanes
  std::unique_ptr<ChipModel> chip_ = lpu::make_lpu_chip(chip_of(geometry_), Software{});
};

TEST_F(HalvesOfNarrowChips, OfDenseBlocksHaveTheBitsOfTheReference) {
  for (const Precision& precision : {fp16_halves, fp8_halves}) {
    expect_halves_equal_the_reference(*chip_, geometry_,
                                      all_halves(network_of(dense_decoder()), precision), 5);
  }
}

TEST_F(HalvesOfNarrowChips, OfMixturesHaveTheBitsOfTheReference) {
  for (const char* name : {"gptoss-tiny", "dsv3-tiny", "qwen35-tiny"}) {
    expect_halves_equal_the_reference(*chip_, geometry_,
                                      all_halves(shipped().network(name), fp16_halves), 3);
  }
}

TEST_F(HalvesOfNarrowChips, OnGangsHaveTheBitsOfTheReferenceThatAddsByRank) {
  expect_halves_equal_the_reference(*chip_, geometry_,
                                    all_halves(network_of(dense_decoder()), fp16_halves, 4), 3);
  for (const char* name : {"gptoss-tiny", "dsv3-tiny", "qwen35-tiny"}) {
    expect_halves_equal_the_reference(*chip_, geometry_,
                                      all_halves(shipped().network(name), fp16_halves, 2), 2);
  }
}

TEST(LpuHalves, OnWholeVectorsHaveTheBitsOfTheReference) {
  const lpu::Geometry geometry = lp30_geometry();
  const auto chip = lpu::make_lpu_chip(chip_of(geometry), Software{});
  NeuralNetwork network = small_mixture(1, 330, 6, 2, 330);
  add_shared(network, 330);
  expect_halves_equal_the_reference(*chip, geometry, all_halves(network, fp8_halves), 2);
}

std::vector<std::string> names_of(const std::vector<lpu::OperatorUse>& operators) {
  std::vector<std::string> names;
  for (const lpu::OperatorUse& use : operators) names.push_back(use.name);
  return names;
}

TEST_F(HalvesOfNarrowChips, HoldNothingOfAttentionAndPassTheVerifier) {
  const Stage stage = half_stage(network_of(dense_decoder()), fp16_halves, 1, 1);
  const auto compiled =
      lpu::compile_stage(geometry_, lpu::LatencyTable{}, "chip", stage, 1, 1 << 20);
  expect_verified(compiled, geometry_);
  EXPECT_EQ(names_of(compiled.operators),
            (std::vector<std::string>{"receive", "norm", "gate and up", "down", "send"}));
  EXPECT_TRUE(compiled.loops.empty());
  EXPECT_EQ(compiled.layout.kv_rows, 0);
  // Hidden rows of 100 are 4 vectors of 32 lanes, the block's 150 are 5: gate and up of 5 x 4 tiles
  // each, down of 4 x 5.
  EXPECT_EQ(compiled.layout.weight_rows, 3 * 20 * 32 * 2);
  for (const auto& region : lpu::memory_map(geometry_, compiled.layout).regions) {
    EXPECT_EQ(region.name.find("KV"), std::string::npos) << region.name;
    EXPECT_EQ(region.name.find("mask table"), std::string::npos) << region.name;
  }
  // 4 vectors of 4 bytes, a vector every 27 cycles.
  EXPECT_EQ(compiled.receive_cycles.size(), 16U);
  EXPECT_EQ(compiled.receive_cycles.back() - compiled.receive_cycles.front(), 15 * 27);
}

TEST_F(HalvesOfNarrowChips, HaveAFloorOfTheirOwnOperators) {
  const Stage stage = half_stage(network_of(dense_decoder()), fp16_halves, 1, 1);
  const lpu::StageFloor floor = lpu::floor_of_stage(geometry_, lpu::LatencyTable{}, stage, 1 << 20);
  std::vector<std::string> names;
  std::int64_t tiles = 0;
  for (const lpu::OperatorFloor& part : floor.operators) {
    names.push_back(part.name);
    tiles += part.tiles;
  }
  EXPECT_EQ(names, (std::vector<std::string>{"receive", "norm", "gate and up", "down", "send"}));
  EXPECT_EQ(tiles, 60);
  EXPECT_EQ(floor.further_blocks, 0);
  EXPECT_GT(chip_->simulate(stage, decode_of(1), nullptr).cycles.count(), floor.cycles());
}

// No KV: as many requests as one likes, of any length, and any of their tokens share a pass.
TEST_F(HalvesOfNarrowChips, KnowNoRequestsAndNoContext) {
  const Stage stage = half_stage(network_of(dense_decoder()), fp16_halves, 0, 1);
  const Fit fit = chip_->fit(stage, 1, 1 << 20);
  EXPECT_TRUE(fit.holds_weights());
  EXPECT_EQ(fit.weights, Bytes(3 * 20 * 32 * 2 * 32));
  EXPECT_EQ(fit.kv_per_token, Bytes(0));
  EXPECT_GT(fit.sequences(1 << 20), std::int64_t{1} << 40);
  Batch prompt;
  prompt.slices.push_back({0, 1 << 20, 64, false});
  const StageCost cost = chip_->simulate(stage, prompt, nullptr);
  EXPECT_EQ(cost.cycles, chip_->simulate(stage, decode_of(64), nullptr).cycles);
  EXPECT_EQ(cost.kernels.front().repeats, 4);  // 16 tokens each
}

TEST_F(HalvesOfNarrowChips, OfEqualLayersShareOneProgram) {
  const NeuralNetwork network = network_of(dense_decoder());
  EXPECT_EQ(half_stage(network, fp16_halves, 0, 1).key(),
            half_stage(network, fp16_halves, 2, 1).key());
  EXPECT_NE(half_stage(network, fp16_halves, 0, 1).key(),
            half_stage(network, fp16_halves, 0, 2).key());
}

TEST_F(HalvesOfNarrowChips, OfTheOtherKindAreRefused) {
  Stage stage = half_stage(network_of(dense_decoder()), fp16_halves, 0, 1);
  stage.network = half_of(network_of(dense_decoder()), LayerHalf::First);
  EXPECT_THROW(static_cast<void>(chip_->simulate(stage, decode_of(1), nullptr)), ModelError);
}

}  // namespace
}  // namespace tandem::test
