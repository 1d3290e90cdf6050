// stories260K on LPU v1 in fp16: bit for bit the reference in the chip's order, and close to the
// plain float model. Needs the public checkpoint below TANDEM_DATA.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "sim/lower/llama2c_checkpoint.hpp"
#include "sim/lower/reference_model.hpp"
#include "tests/lpu/compiler_harness.hpp"
#include "tests/support/lpu_reference.hpp"
#include "tests/support/test_data.hpp"

namespace tandem::test {
namespace {

// The tokens that enter at each position, for every prompt of a file of greedy runs.
std::vector<std::vector<std::int32_t>> forced_tokens(const std::filesystem::path& path,
                                                     const char* key) {
  std::ifstream file(path);
  std::vector<std::vector<std::int32_t>> runs;
  const nlohmann::json json = nlohmann::json::parse(file);
  for (const auto& run : json.is_array() ? json : json.at("continuations")) {
    runs.push_back(run.at(key).get<std::vector<std::int32_t>>());
  }
  return runs;
}

int positions() {
  const char* value = std::getenv("TANDEM_LPU_POSITIONS");
  return value != nullptr ? std::atoi(value) : 4;
}

// Widths of passes: so many by default, all of them in runs of many positions.
std::vector<int> widths(std::vector<int> by_default) {
  return std::getenv("TANDEM_LPU_POSITIONS") != nullptr ? std::vector{2, 4, 8} : by_default;
}

// Teacher-forced on LPU v1 in fp16: the bits of the reference in the chip's order, the predicted
// cycles, and the figures against plain float that a user may expect.
void expect_exact(const Weights& weights, const std::vector<std::vector<std::int32_t>>& runs) {
  const int prompts = static_cast<int>(runs.size());
  const Stage stage =
      whole_model(weights.network, precision_of(ElementType::Float16, ElementType::Float16));
  StageUnderTest chip(lpu_v1_geometry(), stage, weights, prompts, 128);
  int agreeing = 0;
  float difference = 0;
  for (int prompt = 0; prompt < prompts; ++prompt) {
    LpuReference reference(weights, ElementType::Float16, ElementType::Float16, 320);
    ReferenceModel plain(weights);
    for (int position = 0; position < positions(); ++position) {
      const std::int32_t token =
          runs[static_cast<std::size_t>(prompt)].at(static_cast<std::size_t>(position));
      const auto pass = chip.host->run_token(prompt, position, embedding_row(weights, token));
      ASSERT_EQ(pass.logits, reference.forward(token)) << prompt << " " << position;
      ASSERT_EQ(pass.run.cycles, chip.compiled.cycles.at(1));
      const Tensor exact = plain.forward(token, position);
      for (std::size_t i = 0; i < pass.logits.size(); ++i) {
        difference = std::max(difference, std::fabs(pass.logits[i] - exact.floats()[i]));
      }
      agreeing += greedy(pass.logits) == greedy(exact.floats()) ? 1 : 0;
      EXPECT_EQ(pass.best_token, greedy(pass.logits));
    }
  }
  EXPECT_GE(agreeing, 0.99 * prompts * positions());
  EXPECT_LE(difference, 0.05F);
  testing::Test::RecordProperty("cycles", std::to_string(chip.compiled.cycles.base));
  testing::Test::RecordProperty("agreeing", agreeing);
  testing::Test::RecordProperty("positions", prompts * positions());
  testing::Test::RecordProperty("difference", std::to_string(difference));
}

// As many requests as a pass has tokens, each one position behind the one before it: the logits of
// every request are those of the reference, whatever its neighbours are.
void expect_exact_batches(const Weights& weights,
                          const std::vector<std::vector<std::int32_t>>& runs,
                          const std::vector<int>& widths_of_passes) {
  const Stage stage =
      whole_model(weights.network, precision_of(ElementType::Float16, ElementType::Float16));
  for (const int tokens : widths_of_passes) {
    const auto geometry = lpu_v1_geometry();
    const auto compiled =
        lpu::compile_stage(geometry, lpu::LatencyTable{}, "chip", stage, tokens, 128, {}, {tokens});
    lpu::ChipHost host(geometry, lpu::LatencyTable{}, compiled, weights);
    std::vector<LpuReference> references;
    for (int r = 0; r < tokens; ++r) {
      references.emplace_back(weights, ElementType::Float16, ElementType::Float16, 320);
    }
    for (int pass = 0; pass < positions() + tokens - 1; ++pass) {
      std::vector<lpu::TokenPlace> places;
      std::vector<std::span<const float>> hidden;
      std::vector<std::vector<float>> expected;
      for (int r = 0; r < tokens && r <= pass; ++r) {
        if (pass - r >= positions()) continue;
        const auto& run = runs[static_cast<std::size_t>(r) % runs.size()];
        const std::int32_t token = run.at(static_cast<std::size_t>(pass - r));
        places.push_back({r, pass - r});
        hidden.push_back(embedding_row(weights, token));
        expected.push_back(references[static_cast<std::size_t>(r)].forward(token));
      }
      const auto result = host.run_tokens(places, hidden);
      ASSERT_EQ(result.run.cycles, compiled.cycles.base);
      for (std::size_t i = 0; i < places.size(); ++i) {
        ASSERT_EQ(result.tokens[i].logits, expected[i]) << tokens << " " << pass << " " << i;
        EXPECT_EQ(result.tokens[i].best_token, greedy(expected[i]));
      }
    }
  }
}

TEST(Stories260K, InBatchesOnLpuV1EqualsTheReferenceBitForBit) {
  if (!has_stories()) GTEST_SKIP() << no_stories;
  expect_exact_batches(
      read_llama2c_checkpoint((stories_folder() / "stories260K.bin").string()),
      forced_tokens(stories_folder() / "greedy_reference.json", "input_token_at_each_pos"),
      widths({4}));
}

TEST(LittleTales, InBatchesOnLpuV1EqualsTheReferenceBitForBit) {
  const std::filesystem::path folder = little_tales_folder();
  expect_exact_batches(read_llama2c_checkpoint((folder / "model.bin").string()),
                       forced_tokens(folder / "expected_greedy.json", "token_ids"), widths({2, 8}));
}

TEST(Stories260K, OnLpuV1EqualsTheReferenceBitForBitAndFloatClosely) {
  if (!has_stories()) GTEST_SKIP() << no_stories;
  expect_exact(
      read_llama2c_checkpoint((stories_folder() / "stories260K.bin").string()),
      forced_tokens(stories_folder() / "greedy_reference.json", "input_token_at_each_pos"));
}

TEST(LittleTales, OnLpuV1EqualsTheReferenceBitForBitAndFloatClosely) {
  const std::filesystem::path folder = little_tales_folder();
  expect_exact(read_llama2c_checkpoint((folder / "model.bin").string()),
               forced_tokens(folder / "expected_greedy.json", "token_ids"));
}

}  // namespace
}  // namespace tandem::test
