// A real model with its weights in every format: the same story on GPU and LPU, and text scored as
// the reference model scores it.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>

#include "sim/core/diagnostics.hpp"
#include "sim/entry/api.hpp"
#include "sim/lower/llama2c_checkpoint.hpp"
#include "sim/lower/reference_model.hpp"
#include "sim/step/score.hpp"

namespace tandem::entry {
namespace {

std::string file_of(const char* name) {
  const auto folder = std::filesystem::path(TANDEM_SOURCE_DIR) / "workloads" / "checkpoints";
  return (folder / "little_tales" / name).string();
}

std::vector<Override> sets(const std::vector<std::pair<std::string, std::string>>& precision) {
  std::vector<std::string> words;
  for (const auto& [key, value] : precision) {
    words.push_back("placement.precision." + key + "=" + value);
  }
  return parse_overrides(words);
}

std::vector<std::int32_t> story_of(const Context& context, const std::string& scenario,
                                   const std::vector<Override>& overrides) {
  GenerateRequest request;
  request.scenario = scenario;
  request.overrides = overrides;
  request.checkpoint = file_of("model.bin");
  request.tokenizer = file_of("tokenizer.bin");
  request.prompt = "Once there was a brave little fox";
  request.tokens = 28;
  const auto json = nlohmann::json::parse(generate_text_of(context, request).json);
  return json["tokens"].get<std::vector<std::int32_t>>();
}

/// Both round what a format leaves of the weights to float16, the GPU when it is told to as well.
TEST(WeightFormats, GpuAndLpuWriteTheSameStory) {
  const Context context = make_context();
  for (const formats::QuantFormat& format : formats::quant_formats()) {
    if (format.name == "fp8_kv") continue;  // no name of weights
    const std::string name(format.name);
    const bool is_element = name == "fp8";  // planes take it
    const auto on_gpu =
        story_of(context, "little_tales_gpu",
                 sets({{"weights", name}, {"kv_cache", "float16"}, {"activations", "float16"}}));
    const auto on_lpu = story_of(
        context, "little_tales_lpu",
        is_element ? sets({{"weights", name}}) : sets({{"weights", name}, {"expand", "load"}}));
    EXPECT_EQ(on_gpu, on_lpu) << name;
  }
}

TEST(WeightFormats, LpuRefusesCodesThatItsPlanesDoNotTake) {
  const Context context = make_context();
  try {
    (void)story_of(context, "little_tales_lpu", sets({{"weights", "int4_g32"}}));
    FAIL() << "codes of 4 bits were taken";
  } catch (const ConfigError& error) {
    EXPECT_NE(std::string(error.what()).find("write 'expand: load'"), std::string::npos)
        << error.what();
  }
}

class Score : public ::testing::Test {
 protected:
  [[nodiscard]] ScoreRequest request(const std::string& scenario) const {
    ScoreRequest request;
    request.scenario = scenario;
    request.checkpoint = file_of("model.bin");
    request.tokenizer = file_of("tokenizer.bin");
    request.text =
        "Once there was a brave little fox named Ruby who lived under an old oak tree.\n\n"
        "The bear was happy.\nOnce upon a time, a quiet duck named Lily lived by the river.\n";
    return request;
  }
  [[nodiscard]] double nats(const ScoreRequest& request) const {
    return nlohmann::json::parse(score_text_of(context_, request).json)["nats"].get<double>();
  }

  Context context_ = make_context();
};

TEST_F(Score, IsThatOfTheReferenceModel) {
  const ScoreRequest asked = request("little_tales_gpu");
  const ScoreAnswer answer = score_text_of(context_, asked);
  const Weights weights = read_llama2c_checkpoint(file_of("model.bin"));
  double expected = 0;
  std::istringstream lines(answer.tokens_csv);
  std::string line;
  std::getline(lines, line);
  EXPECT_EQ(line, "document,position,token,nats");
  ReferenceModel reference(weights);
  std::int32_t last = 1;
  std::int64_t count = 0;
  while (std::getline(lines, line)) {
    long document = 0;
    long position = 0;
    int token = 0;
    double surprise = 0;
    ASSERT_EQ(std::sscanf(line.c_str(), "%ld,%ld,%d,%lf", &document, &position, &token, &surprise),
              4);
    if (position == 1) last = 1;
    const Tensor logits = reference.forward(last, position - 1);
    double sum = 0;
    for (const float logit : logits.floats()) sum += std::exp(static_cast<double>(logit));
    const double own = std::log(sum) - static_cast<double>(logits.load(token));
    EXPECT_NEAR(surprise, own, 1e-4) << line;
    expected += own;
    last = token;
    ++count;
  }
  const auto json = nlohmann::json::parse(answer.json);
  EXPECT_EQ(json["documents"], 3);
  EXPECT_EQ(json["tokens"], count);
  EXPECT_NEAR(json["nats"].get<double>(), expected, 1e-3);
  EXPECT_NEAR(json["perplexity"].get<double>(), std::exp(expected / static_cast<double>(count)),
              1e-4);
}

TEST_F(Score, DoesNotDependOnTheTokensOfAPass) {
  ScoreRequest asked = request("little_tales_gpu");
  const double whole = nats(asked);
  asked.tokens_per_pass = 1;
  EXPECT_EQ(nats(asked), whole);
  asked.tokens_per_pass = 5;
  EXPECT_EQ(nats(asked), whole);
}

TEST_F(Score, GetsWorseWithFewerBits) {
  double last = 0;
  for (const char* format : {"int8", "int4_g32", "int2_g32", "int1_g32"}) {
    ScoreRequest asked = request("little_tales_gpu");
    asked.overrides = sets({{"weights", format}, {"activations", "bfloat16"}});
    const double own = nats(asked);
    EXPECT_GT(own, last) << format;
    last = own;
  }
}

TEST_F(Score, RefusesTextWithoutDocuments) {
  ScoreRequest asked = request("little_tales_gpu");
  asked.text = "\n \n";
  EXPECT_THROW((void)nats(asked), ConfigError);
}

}  // namespace
}  // namespace tandem::entry
