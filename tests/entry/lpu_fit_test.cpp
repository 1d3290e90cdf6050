// `tandem lpu fit`: what it refuses, whose power and price it takes, and what compiled programs say
// against the chip model asked directly.
#include "sim/entry/lpu_fit.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>

#include "models/lpu/chip_model.hpp"
#include "sim/core/diagnostics.hpp"
#include "sim/entry/lpu_fit_compiled.hpp"
#include "sim/step/pool_fit.hpp"
#include "tests/lpu/chip_harness.hpp"
#include "tests/lpu/compiler_harness.hpp"

namespace tandem::entry {
namespace {

using test::narrow_geometry;

// Three layers of Llama's kind on LPU v1 with vectors of 64 bytes, and so few rows that a chip
// holds one of them.
class CompiledFitTest : public testing::Test {
 protected:
  CompiledFitTest() { geometry_.rows_per_bank = 500; }

  [[nodiscard]] static NeuralNetwork network() {
    DenseDecoder decoder = test::small_network(3, 256, 8, 4, 28, 640, 200);
    decoder.max_context = 640;
    return network_of(decoder);
  }
  [[nodiscard]] std::unique_ptr<ChipModel> chip() const {
    return lpu::make_lpu_chip(test::chip_of(geometry_), Software{});
  }
  [[nodiscard]] std::vector<Stage> stages_of(std::int64_t pipeline, std::int64_t heads) const {
    auto stages = partition_pipeline(network(), precision_, pipeline, heads);
    for (Stage& stage : stages) stage.longest_request = question_.context;
    return stages;
  }
  [[nodiscard]] bool holds(const std::vector<Stage>& stages) const {
    const auto model = chip();
    return std::ranges::all_of(stages, [&](const Stage& stage) {
      const Fit fit = model->fit(stage, question_.requests, question_.context);
      return fit.holds_weights() && fit.sequences(question_.context) >= question_.requests;
    });
  }
  [[nodiscard]] CompiledFit fit(int tensor = 1) const {
    return compiled_fit(*chip(), geometry_, network(), question_, tensor);
  }

  lpu::Geometry geometry_ = narrow_geometry(4);
  lpu::FitQuestion question_{.context = 64, .requests = 1, .weight_bytes = 2, .kv_bytes = 2};
  Precision precision_ = test::precision_of(ElementType::Float16, ElementType::Float16);
};

TEST_F(CompiledFitTest, IsTheShortestPipelineThatHolds) {
  const CompiledFit found = fit();
  ASSERT_EQ(found.obstacle, "");
  ASSERT_GT(found.stages, 1);
  std::int64_t shortest = 0;
  for (std::int64_t pipeline = 1; pipeline <= 3 && shortest == 0; ++pipeline) {
    if (holds(stages_of(pipeline, 0))) shortest = pipeline;
  }
  EXPECT_EQ(found.stages, shortest);
  EXPECT_EQ(found.chips, shortest);
}

TEST_F(CompiledFitTest, ItsStepIsTheStagesAndALinkBetweenEachTwo) {
  const CompiledFit found = fit();
  Batch token;
  token.slices.push_back({.request = 0, .context = question_.context - 1, .new_tokens = 1});
  const auto model = chip();
  double seconds = 0;
  for (const Stage& stage : stages_of(found.stages, 0)) {
    seconds += to_seconds(model->simulate(stage, token).time);
  }
  // LPU v1: 243 cycles on the link at 900 MHz.
  seconds += static_cast<double>(found.stages - 1) * 243 / 900e6;
  EXPECT_NEAR(found.step_s, seconds, 1e-12);
}

TEST_F(CompiledFitTest, ALayerThatNoChipHoldsIsAnObstacle) {
  geometry_.rows_per_bank = 100;
  const CompiledFit found = fit();
  EXPECT_EQ(found.stages, 0);
  EXPECT_EQ(found.obstacle, "a layer with its KV does not fit");
}

TEST_F(CompiledFitTest, WhatTheCompilerRefusesIsAnObstacleByName) {
  EXPECT_NE(fit(3).obstacle.find("lpu"), std::string::npos);  // 4 kv heads over 3 chips
}

// Networks whose stages of Gated DeltaNet keep no KV: LLLF over four LPU v1.
TEST(LpuPool, APipelineWithStagesOfGatedDeltaNetAloneFits) {
  const Context context = make_context();
  const auto chip = lpu::make_lpu_chip(context.loader.chip("lpu_v1"), Software{});
  const NeuralNetwork network = context.loader.network("qwen35-tiny");
  PoolPlacement placement;
  placement.pipeline = 4;
  placement.precision = test::precision_of(ElementType::Float16, ElementType::Float16);
  FitQuestion question{.chip = *chip, .network = network, .max_sequences = 8, .max_context = 64};
  const PoolFit fit = require_fit(question, placement);
  EXPECT_EQ(fit.stages.size(), 4U);
  EXPECT_EQ(fit.room.sequences, 8);
  EXPECT_NE(fit_table(fit).find("MB state"), std::string::npos);
  // More than any stage has states for: the stage with the least room decides.
  question.max_sequences = 1'000'000;
  std::int64_t least = question.max_sequences;
  for (const FitRow& row : fit.rows) least = std::min(least, row.fit.sequences(64));
  EXPECT_EQ(fit_pool(question, placement).room.sequences, least);
}

class FitPage : public testing::Test {
 protected:
  // The line of tensor group 1: "1 19 19 1 8.3 ... kW ... million USD".
  std::string row(const std::string& chip, const std::string& fabric) {
    RackQuestion question;
    question.model = "llama-3.1-8b";
    question.chip = chip;
    question.fabric = fabric;
    std::istringstream page(fit_page(context_, question));
    for (std::string line; std::getline(page, line);) {
      if (line.starts_with("     1 ")) return line;
    }
    return "";
  }
  static std::int64_t chips_of(const std::string& row) {
    std::istringstream text(row);
    std::int64_t tensor = 0, stages = 0, chips = 0;
    text >> tensor >> stages >> chips;
    return chips;
  }
  Context context_ = make_context();
};

// 494 W per LP30 and 388 W per LPU v1, with their shares of the hosts, whatever joins them.
TEST_F(FitPage, AChipOnAnotherFabricKeepsItsPower) {
  const auto kilowatts = [](std::int64_t chips, double watts) {
    std::ostringstream text;
    text.precision(1);
    text << std::fixed << static_cast<double>(chips) * watts / 1e3 << " (";
    return text.str();
  };
  for (const char* fabric : {"lp30_lpx", "lpu_v1_quadfour"}) {
    const std::string lp30 = row("lp30", fabric);
    EXPECT_NE(lp30.find(' ' + kilowatts(chips_of(lp30), 494)), std::string::npos) << lp30;
    const std::string v1 = row("lpu_v1", fabric);
    EXPECT_NE(v1.find(' ' + kilowatts(chips_of(v1), 388)), std::string::npos) << v1;
  }
}

TEST_F(FitPage, ContextsEndAtTheLimitOfTheNetwork) {
  RackQuestion question;
  question.model = "llama-3.1-8b";
  question.fit.context = 131072;
  EXPECT_NO_THROW(static_cast<void>(fit_page(context_, question)));
  question.fit.context = 131073;
  try {
    static_cast<void>(fit_page(context_, question));
    FAIL() << "accepted";
  } catch (const ConfigError& error) {
    EXPECT_EQ(error.diagnostics().front().message,
              "--context is 131073; llama-3.1-8b takes 1 to 131072 tokens");
  }
}

}  // namespace
}  // namespace tandem::entry
