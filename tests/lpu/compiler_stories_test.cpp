// stories260K on LPU v1 in fp16: bit for bit the reference in the chip's order, and close to the
// plain float model. Needs the public checkpoint below TANDEM_DATA.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "sim/lower/reference_model.hpp"
#include "tests/lpu/compiler_harness.hpp"
#include "tests/support/lpu_reference.hpp"

namespace tandem::test {
namespace {

std::string data_file(const std::string& name) {
  const char* data = std::getenv("TANDEM_DATA");
  const std::string root = data != nullptr ? data : TANDEM_SOURCE_DIR "/../shared/data";
  return root + "/models/stories260K/" + name;
}

// The tokens that enter at each position, for every prompt of the published greedy runs.
std::vector<std::vector<std::int32_t>> forced_tokens() {
  std::ifstream file(data_file("greedy_reference.json"));
  std::vector<std::vector<std::int32_t>> runs;
  for (const auto& run : nlohmann::json::parse(file)) {
    runs.push_back(run.at("input_token_at_each_pos").get<std::vector<std::int32_t>>());
  }
  return runs;
}

int positions() {
  const char* value = std::getenv("TANDEM_LPU_POSITIONS");
  return value != nullptr ? std::atoi(value) : 4;
}

std::int32_t largest(std::span<const float> logits) {
  return static_cast<std::int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

TEST(Stories260K, OnLpuV1EqualsTheReferenceBitForBitAndFloatClosely) {
  if (!std::filesystem::exists(data_file("stories260K.bin"))) GTEST_SKIP() << "no checkpoint";
  const LlamaWeights weights = read_llama2c_checkpoint(data_file("stories260K.bin"));
  const auto runs = forced_tokens();
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
      agreeing += largest(pass.logits) == largest(exact.floats()) ? 1 : 0;
      EXPECT_EQ(pass.best_token, largest(pass.logits));
    }
  }
  EXPECT_GE(agreeing, 0.99 * prompts * positions());
  EXPECT_LE(difference, 0.05F);
  RecordProperty("cycles", std::to_string(chip.compiled.cycles.base));
  RecordProperty("agreeing", agreeing);
  RecordProperty("difference", std::to_string(difference));
}

}  // namespace
}  // namespace tandem::test
