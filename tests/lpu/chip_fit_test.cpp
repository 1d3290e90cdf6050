// How many requests a chip has room for: by KV in whole blocks, by states where there is no KV.
#include <gtest/gtest.h>

#include "models/lpu/stage_gang.hpp"
#include "sim/core/integers.hpp"
#include "tests/lpu/chip_harness.hpp"
#include "tests/lpu/compiler_harness.hpp"
#include "tests/lpu/rack/shipped_fabrics.hpp"

namespace tandem::test {
namespace {

const Precision all_fp16 = precision_of(ElementType::Float16, ElementType::Float16);

// Rows of every bank that so many bytes take, and one more where they do not divide.
std::int64_t rows_of_bytes(const lpu::Geometry& geometry, Bytes bytes) {
  return ceil_div(bytes.count(), geometry.sram().count() / geometry.rows_per_bank);
}

// Qwen3.5-tiny is LLLF: the second of four stages is one layer of Gated DeltaNet, nothing else.
class DeltaStageFit : public testing::Test {
 protected:
  lpu::Geometry geometry_ = lpu_v1_geometry();
  std::unique_ptr<ChipModel> chip_ = lpu::make_lpu_chip(chip_of(geometry_), Software{});
  NeuralNetwork network_ = lpu::testing::shipped().network("qwen35-tiny");
  Stage stage_ = partition_pipeline(network_, all_fp16, 4, 0)[1];
};

TEST_F(DeltaStageFit, KeepsStatesAndNoKv) {
  const Fit fit = chip_->fit(stage_, 1, 64);
  EXPECT_TRUE(fit.holds_weights());
  EXPECT_EQ(fit.kv_per_token, Bytes(0));
  // Four value heads of 16 channels share the lanes of one vector, and so do two key heads: a state
  // of 16 rows, whose room is kept for packs in twos; and the last four inputs of the convolution
  // for one vector of queries, of keys and of values. All in fp32, 320 B for each byte of it.
  EXPECT_EQ(fit.state_per_sequence, Bytes((2 * 16 + 3 * 4) * 4 * 320));
}

TEST_F(DeltaStageFit, HoldsAsManyRequestsAsCanBeLaidOutWhateverTheirLength) {
  const Fit fit = chip_->fit(stage_, 1, 64);
  const std::int64_t requests = fit.sequences(64);
  ASSERT_GT(requests, 10);
  const auto rows_with = [&](std::int64_t n) {
    return lpu::layout_of_share(geometry_, stage_, static_cast<int>(n), 64).deepest_bank() +
           rows_of_bytes(geometry_, fit.program);
  };
  EXPECT_LE(rows_with(requests), geometry_.rows_per_bank);
  EXPECT_GT(rows_with(requests + 1), geometry_.rows_per_bank);
  EXPECT_EQ(fit.sequences(1), requests);
  EXPECT_EQ(chip_->fit(stage_, 1, 6400).sequences(6400), requests);
}

TEST_F(DeltaStageFit, CountsStatesBesideKvAsWorkspace) {
  const Stage last = partition_pipeline(network_, all_fp16, 2, 0)[1];  // a layer of either kind
  const Fit fit = chip_->fit(last, 1, 64);
  EXPECT_GT(fit.kv_per_token, Bytes(0));
  EXPECT_EQ(fit.state_per_sequence, Bytes(0));
  EXPECT_GT(fit.sequences(64), 10);
}

TEST_F(DeltaStageFit, StagesThatFitCanBeTimed) {
  Batch token;
  token.slices.push_back({.request = 0, .context = 63, .new_tokens = 1});
  const StageCost late = chip_->simulate(stage_, token);
  token.slices[0].context = 0;
  EXPECT_EQ(late.cycles, chip_->simulate(stage_, token).cycles);  // no loop over KV
  EXPECT_GT(late.time, chip_->floor(stage_, token));
}

// A request of one token more than a block takes two.
TEST(LpuChipFit, RequestsTakeWholeBlocks) {
  DenseDecoder network = small_network(2, 100, 8, 4, 12, 150, 200);
  network.max_context = 640;
  const auto chip = lpu::make_lpu_chip(chip_of(narrow_geometry(4)), Software{});
  const Stage stage = whole_model(network, all_fp16);
  const Fit one = chip->fit(stage, 1, 64);
  const Fit two = chip->fit(stage, 1, 65);
  EXPECT_EQ(one.sequences(64), one.kv_tokens() / 64);
  EXPECT_EQ(two.sequences(65), two.kv_tokens() / 128);
  EXPECT_EQ(two.sequences(65), two.sequences(128));
}

// Wider passes take vectors of their own and a program per width: no more than an eighth of the
// requests that fit beside a single one.
TEST(LpuChipFit, WidePassesTakeAnEighthOfTheRequestsAtMost) {
  DenseDecoder network = small_network(2, 100, 8, 4, 12, 150, 200);
  network.max_context = 64;
  Stage stage = whole_model(network, all_fp16);
  stage.longest_request = 64;
  lpu::Geometry geometry = narrow_geometry(4);
  geometry.rows_per_bank = 1200;
  const auto words = [&](int width) {
    return lpu::compile_share(geometry, lpu::LatencyTable{}, "chip", stage, 1, 64,
                              {width, width, {}, {}})
        .program_bytes();
  };
  const Bytes one = words(1), more = words(2) - one;
  const auto requests = [&](int room) {
    Bytes programs{0};
    for (int width = 1; width <= room; width *= 2) programs += one + more * (width - 1);
    const std::int64_t rows = geometry.rows_per_bank - rows_of_bytes(geometry, programs);
    int n = 0;
    while (lpu::layout_of_share(geometry, stage, n + 1, 64, room).deepest_bank() <= rows) ++n;
    return n;
  };
  const auto chip = lpu::make_lpu_chip(chip_of(geometry), Software{});
  const int width = lpu::widest_pass(*chip, stage);
  const int kept = requests(1) - requests(1) / 8;
  ASSERT_LT(width, 16);
  EXPECT_GE(requests(width), kept);
  EXPECT_LT(requests(2 * width), kept);
}

TEST(LpuChipFit, MayHoldLeavesOutProgramsAndNothingElse) {
  // A row less than one request's layout needs, then just that: programs still do not fit.
  DenseDecoder network = small_network(2, 100, 8, 4, 12, 150, 200);
  network.max_context = 640;
  const Stage stage = whole_model(network, all_fp16);
  lpu::Geometry geometry = narrow_geometry(4);
  const int rows = lpu::layout_of_share(geometry, stage, 1, 640).deepest_bank();
  for (const int missing : {1, 0}) {
    geometry.rows_per_bank = rows - missing;
    const auto chip = lpu::make_lpu_chip(chip_of(geometry), Software{});
    EXPECT_EQ(chip->may_hold(stage, 640), missing == 0);
    EXPECT_EQ(chip->fit(stage, 1, 640).sequences(640), 0);
  }
}

// A module of multi-token prediction on the chip of its model: one lies behind the other.
TEST_F(DeltaStageFit, NeighboursTakeRowsOfTheirOwnForAsManyRequests) {
  const Stage model = whole_model(network_, all_fp16);
  const Neighbours modules{whole_model(module_of(network_), all_fp16), 2};
  const Fit alone = chip_->fit(model, 1, 64);
  const Fit module = chip_->fit(modules.stage, 1, 64);
  const Fit fit = chip_->fit_beside(model, modules, 1, 64);
  EXPECT_EQ(fit.weights, alone.weights + module.weights * 2);
  EXPECT_EQ(fit.kv_per_token, alone.kv_per_token + module.kv_per_token * 2);
  const std::int64_t requests = fit.sequences(64);
  ASSERT_GT(requests, 10);
  const auto rows_of = [&](const Stage& stage, const Fit& own, std::int64_t n) {
    return lpu::layout_of_share(geometry_, stage, static_cast<int>(n), 64).deepest_bank() +
           rows_of_bytes(geometry_, own.program);
  };
  const auto rows_with = [&](std::int64_t n) {
    return rows_of(model, alone, n) + 2 * rows_of(modules.stage, module, n);
  };
  EXPECT_LE(rows_with(requests), geometry_.rows_per_bank);
  EXPECT_GT(rows_with(requests + 1), geometry_.rows_per_bank);
}

TEST_F(DeltaStageFit, NeighboursWithoutRoomLeaveNone) {
  const Stage model = whole_model(network_, all_fp16);
  EXPECT_EQ(chip_->fit_beside(model, {model, 1000}, 1, 64).sequences(64), 0);
}

}  // namespace
}  // namespace tandem::test
