// Several texts from one prompt with real numbers: the prompt is computed once, and each text is
// what it would be on a KV cache of its own.
#include <gtest/gtest.h>

#include "sim/core/diagnostics.hpp"
#include "sim/entry/api.hpp"
#include "sim/entry/generate_json.hpp"
#include "sim/lower/reference_model.hpp"
#include "sim/step/generate.hpp"

namespace tandem::entry {
namespace {

class Branches : public ::testing::Test {
 protected:
  [[nodiscard]] GenerateResult generate_on(const std::string& scenario, const std::string& model,
                                           const GenerateOptions& options) const {
    const Scenario own = context_.loader.scenario(
        scenario,
        {{"model", model}, {"traffic.prompt_tokens", "8"}, {"traffic.output_tokens", "8"}});
    const Weights weights = random_weights(context_.loader.network(model), 7);
    const GenerateResult result =
        generate(own, context_.catalogue, context_.make_network, weights, prompt_, options);
    EXPECT_LT(reference_max_abs_error(result, weights), 0.05);
    return result;
  }
  static GenerateOptions options_of(std::int64_t branches, double temperature) {
    GenerateOptions options;
    options.positions = 12;
    options.branches = branches;
    options.temperature = temperature;
    options.ignore_end = true;
    return options;
  }

  Context context_ = make_context();
  std::vector<std::int32_t> prompt_ = {1, 17, 5, 42, 8};
};

TEST_F(Branches, GreedyOnesAreTheSame) {
  for (const char* scenario : {"little_tales_gpu", "little_tales_hybrid", "little_tales_lpu"}) {
    const GenerateResult result = generate_on(scenario, "little_tales", options_of(3, 0));
    ASSERT_EQ(result.branches.size(), 2u);
    for (const GeneratedBranch& branch : result.branches) {
      EXPECT_EQ(branch.tokens, result.tokens) << scenario;
      EXPECT_EQ(branch.logits, result.logits) << scenario;
    }
  }
}

TEST_F(Branches, FirstOneIsTheTextByItselfAndTheOthersDiffer) {
  const GenerateResult alone = generate_on("little_tales_gpu", "little_tales", options_of(1, 1));
  const GenerateResult result = generate_on("little_tales_gpu", "little_tales", options_of(3, 1));
  EXPECT_EQ(result.tokens, alone.tokens);
  EXPECT_EQ(result.logits, alone.logits);
  EXPECT_EQ(result.time_to_first_token, alone.time_to_first_token);
  ASSERT_EQ(result.branches.size(), 2u);
  EXPECT_NE(result.branches[0].tokens, result.tokens);
  EXPECT_NE(result.branches[1].tokens, result.branches[0].tokens);
}

TEST_F(Branches, HaveTheLogitsOfATextComputedFromItsStart) {
  const GenerateResult result = generate_on("little_tales_gpu", "little_tales", options_of(3, 1));
  for (const GeneratedBranch& branch : result.branches) {
    GenerateOptions forced = options_of(1, 0);
    forced.forced = branch.tokens;
    const GenerateResult again = generate_on("little_tales_gpu", "little_tales", forced);
    EXPECT_EQ(again.logits, branch.logits);
  }
}

TEST_F(Branches, KvOfThePromptCrossesOnce) {
  const auto kv_bytes = [](const GenerateResult& result) {
    std::int64_t bytes = 0;
    for (const Transfer& transfer : result.transfers) {
      bytes += transfer.what == "kv" ? transfer.bytes.count() : 0;
    }
    return bytes;
  };
  const GenerateResult alone = generate_on("little_tales_hybrid", "little_tales", options_of(1, 0));
  const GenerateResult result =
      generate_on("little_tales_hybrid", "little_tales", options_of(3, 0));
  EXPECT_GT(kv_bytes(alone), 0);
  EXPECT_EQ(kv_bytes(result), kv_bytes(alone));
}

TEST_F(Branches, RecurrentStatesAreRefused) {
  EXPECT_THROW((void)generate_on("little_tales_gpu", "qwen35-tiny", options_of(2, 0)), ConfigError);
  EXPECT_THROW((void)generate_on("little_tales_gpu", "little_tales", options_of(0, 0)),
               ConfigError);
}

TEST(MostFrequent, IsTheTextThatComesMostOftenAndTheFirstOfSeveral) {
  EXPECT_EQ(most_frequent({"a", "b", "b"}).branch, 1u);
  EXPECT_EQ(most_frequent({"a", "b", "b"}).count, 2u);
  EXPECT_EQ(most_frequent({"a", "b", "b", "a"}).branch, 0u);
}

}  // namespace
}  // namespace tandem::entry
