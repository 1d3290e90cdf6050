// Does the GPU write, in fp32, the text of the reference program (llama2.c, greedy)?
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "models/gpu/gpu_chip.hpp"
#include "models/gpu/loaded_stage.hpp"
#include "sim/describe/dense_decoder.hpp"
#include "sim/lower/llama2c_checkpoint.hpp"
#include "sim/lower/reference_model.hpp"
#include "sim/numerics/tokenizer.hpp"
#include "tests/gpu/test_chips.hpp"
#include "tests/support/test_data.hpp"

namespace tandem::gpu {
namespace {

/// The checkpoint and what the reference program printed for it; not part of this repository.
class Stories : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!test::has_stories()) GTEST_SKIP() << test::no_stories;
    folder_ = test::stories_folder().string() + "/";
    weights_ = read_llama2c_checkpoint(folder_ + "stories260K.bin");
    const Precision fp32{ElementType::Float32, ElementType::Float32, ElementType::Float32};
    stage_ = load_on_gpu(chip_, whole_model(weights_.network, fp32), weights_, 256);
  }
  Tensor step(std::int64_t request, std::int64_t position, std::int32_t token) {
    StageData in;
    StageData out;
    in.tokens = {token};
    (void)stage_->run({{{request, position, 1, true}}}, in, out);
    return out.logits;
  }
  static std::int32_t best_of(const Tensor& logits) {
    std::int32_t best = 0;
    for (std::int32_t v = 1; v < logits.elements(); ++v) {
      if (logits.load(v) > logits.load(best)) best = v;
    }
    return best;
  }

  std::string folder_;
  GpuChip chip_{large_chip(), Software{}};
  Weights weights_;
  std::unique_ptr<LoadedStage> stage_;
};

TEST_F(Stories, GreedyTextOfTheReferenceProgram) {
  const Tokenizer tokenizer(folder_ + "tok512.bin", 512);
  std::string text;
  std::int32_t token = Tokenizer::begin_of_text;
  for (std::int64_t position = 0; position < 200; ++position) {
    const std::int32_t next = best_of(step(0, position, token));
    if (next == Tokenizer::begin_of_text) break;
    text += tokenizer.decode(token, next);
    token = next;
  }
  std::ostringstream expected;
  expected << std::ifstream(folder_ + "expected_greedy_200.txt").rdbuf();
  EXPECT_EQ(text, expected.str());
}

TEST_F(Stories, LogitsOfTheReferenceProgramWithinAThousandth) {
  std::ifstream file(folder_ + "logits_empty_prompt_64.jsonl");
  double worst = 0;
  std::int64_t position = 0;
  for (std::string line; std::getline(file, line); ++position) {
    const auto expected = nlohmann::json::parse(line);
    const Tensor logits = step(0, position, expected["token"].get<std::int32_t>());
    for (std::int64_t v = 0; v < 512; ++v) {
      const double value = expected["logits"][static_cast<std::size_t>(v)].get<double>();
      worst = std::max(worst, std::abs(value - static_cast<double>(logits.load(v))));
    }
  }
  EXPECT_EQ(position, 64);
  EXPECT_LT(worst, 1e-3);
}

TEST_F(Stories, PromptsOfTheReferenceProgram) {
  const Tokenizer tokenizer(folder_ + "tok512.bin", 512);
  std::ifstream file(folder_ + "greedy_reference.json");
  std::int64_t request = 0;
  for (const auto& entry : nlohmann::json::parse(file)) {
    const auto prompt = tokenizer.encode(entry["prompt"].get<std::string>(), true, false);
    const auto expected = entry["input_token_at_each_pos"].get<std::vector<std::int32_t>>();
    // The prompt in one pass, then token by token.
    StageData in;
    StageData out;
    in.tokens = prompt;
    const auto length = static_cast<std::int64_t>(prompt.size());
    (void)stage_->run({{{++request, 0, length, true}}}, in, out);
    std::vector<std::int32_t> tokens = prompt;
    Tensor logits = out.logits;
    while (tokens.size() < expected.size()) {
      tokens.push_back(best_of(logits));
      logits = step(request, static_cast<std::int64_t>(tokens.size()) - 1, tokens.back());
    }
    EXPECT_EQ(tokens, expected) << entry["prompt"];
  }
  EXPECT_GT(request, 0);
}

TEST_F(Stories, KvIsThatOfTheReferenceOperators) {
  ReferenceModel reference(weights_);
  const DenseDecoder net = dense_decoder_of(weights_.network, "test");
  std::int32_t token = 1;
  for (std::int64_t position = 0; position < 100; ++position) {
    (void)step(0, position, token);
    token = best_of(reference.forward(token, position));
  }
  const KvBlock block = stage_->export_kv(0);
  const auto per_side = static_cast<std::size_t>(100 * net.kv_width());
  ASSERT_EQ(block.bytes.size(), static_cast<std::size_t>(net.layers) * 2 * per_side * 4);
  std::vector<float> values(block.bytes.size() / 4);
  std::memcpy(values.data(), block.bytes.data(), block.bytes.size());
  for (std::int64_t layer = 0; layer < net.layers; ++layer) {
    for (int side = 0; side < 2; ++side) {
      const auto expected = side == 0 ? reference.k(layer) : reference.v(layer);
      const float* actual = values.data() + static_cast<std::size_t>(2 * layer + side) * per_side;
      float largest = 0;
      float worst = 0;
      for (std::size_t i = 0; i < per_side; ++i) {
        largest = std::max(largest, std::abs(expected[i]));
        worst = std::max(worst, std::abs(expected[i] - actual[i]));
      }
      EXPECT_LE(worst, 1e-5F * largest) << "layer " << layer << (side == 0 ? " K" : " V");
    }
  }
}

}  // namespace
}  // namespace tandem::gpu
