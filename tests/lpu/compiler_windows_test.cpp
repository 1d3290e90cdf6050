// Layers with sliding windows: which blocks their loops read, what they compute, what they cost.
#include <gtest/gtest.h>

#include "models/lpu/compiler/window.hpp"
#include "models/lpu/lpu_chip.hpp"
#include "models/lpu/stage_floor.hpp"
#include "models/lpu/stage_gang.hpp"
#include "sim/lower/reference_model.hpp"
#include "tests/lower/tiny_networks.hpp"
#include "tests/lpu/window_harness.hpp"

namespace tandem::test {
namespace {

using lpu::WindowLayout;

// With 32 lanes a window of 8 touches one block or two, of 33 two (its oldest token is the same
// lane one block back), of 34 three where the token is the first of its block.
TEST(LpuWindow, ReadsAsManyBlocksAsItMayTouch) {
  EXPECT_EQ(WindowLayout(1, 32, 10).blocks, 1);
  EXPECT_EQ(WindowLayout(8, 32, 10).blocks, 2);
  EXPECT_EQ(WindowLayout(33, 32, 10).blocks, 2);
  EXPECT_EQ(WindowLayout(34, 32, 10).blocks, 3);
  EXPECT_EQ(WindowLayout(34, 32, 2).blocks, 2);
  EXPECT_EQ(WindowLayout(128, 320, 10).blocks, 2);
  EXPECT_EQ(WindowLayout(4096, 320, 30).blocks, 14);
}

TEST(LpuWindow, EndsAtTheTokensBlock) {
  const WindowLayout window(34, 32, 10);
  EXPECT_EQ(window.first_block(0), 0);
  EXPECT_EQ(window.first_block(2), 0);
  EXPECT_EQ(window.first_block(5), 3);
  // Rows 0 to 2 are those of the blocks read; fewer blocks begin further down.
  EXPECT_EQ(window.mask_start(0), 2);
  EXPECT_EQ(window.mask_start(1), 1);
  EXPECT_EQ(window.mask_start(7), 0);
}

// A token at position 69 (block 2, lane 5) with a window of 34 sees positions 36 to 69: lane 4 of
// block 1 to lane 5 of block 2.
TEST(LpuWindow, MasksWhatComesBeforeItAndBehindTheToken) {
  const WindowLayout window(34, 32, 10);
  const auto seen = [&](int row) {
    std::vector<int> lanes;
    const auto mask = window.mask(row, 69, 32);
    for (int lane = 0; lane < 32; ++lane) {
      if (mask[static_cast<std::size_t>(lane)] == 0) lanes.push_back(lane);
    }
    return lanes;
  };
  EXPECT_TRUE(seen(0).empty());
  EXPECT_EQ(seen(1).size(), 28U);
  EXPECT_EQ(seen(1).front(), 4);
  EXPECT_EQ(seen(2), (std::vector<int>{0, 1, 2, 3, 4, 5}));
}

// Every position: rows that the host does not write hold zeros.
TEST(LpuWindow, ChangesAtMostThreeRowsOfItsMask) {
  for (const std::int64_t tokens : {1, 5, 16, 17, 40, 64, 65, 80}) {
    const WindowLayout window(tokens, 16, 12);
    const auto rows = window.changing_rows();
    EXPECT_LE(rows.size(), 3U);
    for (std::int64_t position = 0; position < 12 * 16; ++position) {
      const auto first = static_cast<int>(window.mask_start(position / 16));
      for (int row = first; row < window.blocks; ++row) {
        if (std::ranges::find(rows, row) != rows.end()) continue;
        EXPECT_EQ(window.mask(row, position, 16), std::vector<float>(16, 0.0F)) << tokens;
      }
    }
  }
}

// Shorter than a block and longer; token by token, so that the window begins at every place of one.
TEST(LpuWindows, EqualTheReferenceAtEveryPosition) {
  const DenseDecoder shape = small_network(2, 30, 2, 1, 12, 30, 30);
  expect_equal_to_reference(with_windows(shape, 5), narrow_geometry(2), ElementType::Fp8E4m3, 45);
  expect_equal_to_reference(with_windows(shape, 40), narrow_geometry(2), ElementType::Fp8E4m3, 75);
}

// Cycles depend on blocks alone, and those of a window stop growing when it is full.
TEST(LpuWindows, CostNoMoreThanTheirBlocks) {
  NeuralNetwork network = network_of(small_network(1, 40, 4, 2, 12, 50, 40));
  attention_of(network).shape.window = 150;
  const Stage stage =
      tandem::whole_model(network, precision_of(ElementType::Fp8E4m3, ElementType::Fp8E4m3));
  lpu::PassShape pass;
  pass.window_loops = lpu::LoopPlan{lpu::LoopStrategy::Sequential, 1};
  const auto compiled =
      lpu::compile_stage(narrow_geometry(2), lpu::LatencyTable{}, "chip", stage, 1, 320, {}, pass);
  // ceil(149 / 32) + 1 = 6 blocks.
  const std::int64_t one = compiled.cycles.window.per_iteration;
  EXPECT_GT(one, 0);
  EXPECT_EQ(compiled.cycles.per_iteration, 0);
  EXPECT_EQ(compiled.cycles.at(6) - compiled.cycles.at(1), 5 * one);
  EXPECT_EQ(compiled.cycles.at(10), compiled.cycles.at(6));
}

// One tile of keys and one of values per further block, 20 + 1 cycles each on LPU v1: 640 tokens
// fill two blocks of 320, 641 no fewer than three.
TEST(LpuWindows, FloorCountsTheBlocksThatTheirTokensFill) {
  NeuralNetwork network = network_of(small_network(1, 640, 4, 2, 64, 960, 320));
  const auto further = [&](std::int64_t window, std::int64_t context) {
    attention_of(network).shape.window = window;
    const Stage stage =
        tandem::whole_model(network, precision_of(ElementType::Fp8E4m3, ElementType::Fp8E4m3));
    return lpu::floor_of_stage(lpu_v1_geometry(), lpu::LatencyTable{}, stage, context)
        .further_blocks;
  };
  EXPECT_EQ(further(0, 10 * 320), 9 * 42);
  EXPECT_EQ(further(640, 10 * 320), 42);
  EXPECT_EQ(further(641, 10 * 320), 2 * 42);
  EXPECT_EQ(further(641, 320), 0);
  EXPECT_EQ(further(128, 10 * 320), 0);
}

// A window of two blocks takes both in one iteration.
TEST(LpuWindows, OfFewBlocksNeedNoFurtherIteration) {
  const NeuralNetwork network = with_windows(small_network(2, 40, 4, 2, 12, 50, 40), 8);
  const Stage stage =
      tandem::whole_model(network, precision_of(ElementType::Fp8E4m3, ElementType::Fp8E4m3));
  const auto compiled =
      lpu::compile_stage(narrow_geometry(2), lpu::LatencyTable{}, "chip", stage, 1, 320);
  EXPECT_EQ(compiled.layout.window.blocks, 2);
  EXPECT_EQ(compiled.window_plan->blocks, 2);
  EXPECT_EQ(compiled.cycles.window.further_iterations(10), 0);
}

// On either side of the chip the host writes a row of the mask for layers that see all, and those
// that change for windows: two, where a window touches two blocks. A row is 64 lanes of fp32, at
// 1 B per ns.
TEST(LpuWindows, HostWritesTheirMasksBesideThatOfOtherLayers) {
  const lpu::Geometry geometry = narrow_geometry(4);
  const DenseDecoder decoder = small_network(2, 100, 4, 2, 8, 70, 60);
  const auto host_ns = [&](const NeuralNetwork& network, int tokens) {
    const Stage stage =
        tandem::whole_model(network, precision_of(ElementType::Float16, ElementType::Float16));
    const lpu::StageLayout layout = lpu::layout_of_share(geometry, stage, 1, 640, tokens);
    const lpu::HostLink link{BytesPerSecond(1e9), Picoseconds(0)};
    return lpu::host_time(layout, geometry, link, tokens).count() / 1000;
  };
  NeuralNetwork windows = network_of(decoder);
  attention_of(windows).shape.window = 8;
  for (const int tokens : {1, 4}) {
    const std::int64_t plain = host_ns(network_of(decoder), tokens);
    EXPECT_EQ(host_ns(with_windows(decoder, 8), tokens) - plain, tokens * 2 * 2 * 64 * 4);
    EXPECT_EQ(host_ns(windows, tokens) - plain, tokens * (2 * 2 - 2) * 64 * 4);
  }
}

// gptoss-tiny: a window of 8 and sinks, decoding far beyond the window.
TEST(LpuWindows, GptossTinyDecodesTheTokensOfTheReferenceModel) {
  const Weights weights =
      weights_in_format(random_weights(gptoss_tiny(), 31), ElementType::Float16);
  const Stage stage = tandem::whole_model(weights.network,
                                          precision_of(ElementType::Float16, ElementType::Float16));
  StageUnderTest chip(narrow_geometry(2), stage, weights, 1, 64);
  ReferenceModel plain(weights);
  std::int32_t token = 3;
  for (int position = 0; position < 40; ++position) {
    const auto pass = chip.host->run_token(0, position, embedding_row(weights, token));
    const Tensor exact = plain.forward(token, position);
    ASSERT_EQ(pass.best_token, greedy({exact.floats().begin(), exact.floats().end()})) << position;
    ASSERT_EQ(pass.run.cycles, chip.compiled.cycles.at(position / 32 + 1));
    token = pass.best_token;
  }
}

}  // namespace
}  // namespace tandem::test
