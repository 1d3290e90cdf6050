// Does the reference forward pass reproduce llama2.c on stories260K: text, tokens, logits?
#include "sim/lower/reference_model.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "sim/lower/llama2c_checkpoint.hpp"
#include "sim/numerics/ops/argmax.hpp"
#include "sim/numerics/tokenizer.hpp"
#include "tests/support/test_data.hpp"

namespace tandem {
namespace {

std::string text_of(const std::filesystem::path& path) {
  std::ifstream stream(path);
  std::ostringstream text;
  text << stream.rdbuf();
  return text.str();
}

class Stories : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = test::stories_folder();
    if (!test::has_stories()) GTEST_SKIP() << test::no_stories;
    weights_ = read_llama2c_checkpoint((folder_ / "stories260K.bin").string());
    tokenizer_.emplace((folder_ / "tok512.bin").string(), weights_.network.vocabulary);
  }

  /// llama2.c's loop: token p is forced while the prompt lasts, then greedy, until `steps` inputs
  /// are consumed or the start token comes back.
  std::string generate(const std::string& prompt, int steps, std::vector<int>& inputs) {
    ReferenceModel model(weights_);
    const auto forced = tokenizer_->encode(prompt, true, false);
    std::string text;
    std::int32_t token = forced[0];
    for (int position = 0; position < steps; ++position) {
      inputs.push_back(token);
      const Tensor logits = model.forward(token, position);
      const auto next_index = static_cast<std::size_t>(position) + 1;
      const std::int32_t next =
          next_index < forced.size() ? forced[next_index] : ops::argmax(logits.floats());
      if (next == Tokenizer::begin_of_text) {
        break;
      }
      text += tokenizer_->decode(token, next);
      token = next;
    }
    return text;
  }

  std::filesystem::path folder_;
  Weights weights_;
  std::optional<Tokenizer> tokenizer_;
};

TEST_F(Stories, greedy_200_steps_from_an_empty_prompt_give_the_expected_text) {
  std::vector<int> inputs;
  const std::string text = generate("", 200, inputs);
  std::string expected = text_of(folder_ / "expected_greedy_200.txt");
  while (!expected.empty() && expected.back() == '\n') {  // llama2.c ends its output with a newline
    expected.pop_back();
  }
  EXPECT_EQ(text, expected);
}

TEST_F(Stories, prompts_give_the_recorded_tokens_and_text) {
  const auto cases = nlohmann::json::parse(text_of(folder_ / "greedy_reference.json"));
  ASSERT_FALSE(cases.empty());
  for (const auto& entry : cases) {
    SCOPED_TRACE(entry.at("prompt").get<std::string>());
    std::vector<int> inputs;
    const std::string text = generate(entry.at("prompt"), entry.at("steps"), inputs);
    EXPECT_EQ(text, entry.at("output").get<std::string>());
    EXPECT_EQ(inputs, entry.at("input_token_at_each_pos").get<std::vector<int>>());
  }
}

TEST_F(Stories, logits_lie_within_a_thousandth_of_the_recorded_ones) {
  std::ifstream lines(folder_ / "logits_empty_prompt_64.jsonl");
  ReferenceModel model(weights_);
  std::string line;
  int positions = 0;
  while (std::getline(lines, line)) {
    const auto entry = nlohmann::json::parse(line);
    const Tensor logits = model.forward(entry.at("token"), entry.at("pos"));
    const auto& expected = entry.at("logits");
    ASSERT_EQ(logits.elements(), static_cast<std::int64_t>(expected.size()));
    for (std::size_t i = 0; i < expected.size(); ++i) {
      ASSERT_NEAR(logits.floats()[i], expected[i].get<double>(), 1e-3)
          << "position " << entry.at("pos") << " logit " << i;
    }
    ++positions;
  }
  EXPECT_EQ(positions, 64);
}

TEST_F(Stories, going_back_in_the_cache_gives_the_same_logits_again) {
  ReferenceModel model(weights_);
  (void)model.forward(1, 0);
  const Tensor first = model.forward(403, 1);
  (void)model.forward(407, 2);
  EXPECT_EQ(model.forward(403, 1), first);
  EXPECT_EQ(model.tokens(), 2);
  // 2 tokens of kv_heads * head_dim = 4 * 8 elements.
  EXPECT_EQ(model.k(0).size(), 64U);
  EXPECT_EQ(model.v(4).size(), 64U);
}

}  // namespace
}  // namespace tandem
