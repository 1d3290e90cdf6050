// Drafts that branch, and drafts looked up in the text, with real numbers: greedy text is that of
// the model by itself, sampled text is distributed as the model's.
#include <gtest/gtest.h>

#include <numeric>

#include "sim/core/diagnostics.hpp"
#include "tests/entry/rounds_harness.hpp"

namespace tandem::entry {
namespace {

using Trees = RoundsInPlace;

class TreesOfLittleTales : public LittleTales {
 protected:
  [[nodiscard]] Scenario with_tree(const std::string& tree) const {
    return scenario("little_tales", "{method: draft_model, tree: " + tree + "}",
                    {{"draft_model", "little_tales"}});
  }
  [[nodiscard]] Scenario with_lookup(const std::string& keys) const {
    return scenario("little_tales", "{method: ngram, " + keys + "}");
  }
};

TEST_F(Trees, OfAModuleLeaveTheTextAsItIs) {
  for (const char* name : {"qwen35-tiny", "dsv3-tiny"}) {
    const Weights weights = random_weights(context_.loader.network(name), 7);
    const GenerateResult one = alone(weights, name, prompt_, up_to(32));
    for (const char* tree : {"[4]", "[3, 2, 2]"}) {
      const Scenario own = scenario(name, std::string("{method: mtp, tree: ") + tree + "}");
      const GenerateResult two = drafted(own, weights, {}, prompt_, up_to(32));
      EXPECT_EQ(two.tokens, one.tokens) << name << ", " << tree;
      EXPECT_EQ(two.logits, one.logits) << name << ", " << tree;
      EXPECT_GT(accepted_in(two), 0) << name << ", " << tree;
      EXPECT_GE(two.total, two.floor);
    }
  }
}

TEST_F(Trees, OfGangsLeaveTheTextAsItIs) {
  const std::string pool = std::string("{mode: monolithic, pool: gpu, tensor: 2, expert: 2, ") +
                           "precision: " + floats + "}";
  const std::vector<Override> gang = {{"system", "dgx_h100"}, {"placement", pool}};
  const Weights weights = random_weights(context_.loader.network("qwen35-tiny"), 7);
  const GenerateResult one = generate(scenario("qwen35-tiny", "", gang), context_.catalogue,
                                      context_.make_network, weights, prompt_, up_to(24));
  const GenerateResult two = drafted(scenario("qwen35-tiny", "{method: mtp, tree: [3, 2]}", gang),
                                     weights, {}, prompt_, up_to(24));
  EXPECT_EQ(two.tokens, one.tokens);
  EXPECT_EQ(two.logits, one.logits);
}

TEST_F(Trees, OfOneCandidatePerPlaceAreChains) {
  const Weights weights = random_weights(context_.loader.network("qwen35-tiny"), 7);
  GenerateOptions options = up_to(32);
  options.temperature = 1;
  options.top_k = 4;
  const auto text = [&](const char* drafts) {
    const Scenario own = scenario("qwen35-tiny", std::string("{method: mtp, ") + drafts + "}");
    return drafted(own, weights, {}, prompt_, options).tokens;
  };
  EXPECT_EQ(text("tree: [1, 1, 1]"), text("drafts: 3"));
}

TEST_F(TreesOfLittleTales, LeaveTheTextAsItIsAndAreRightMoreOftenThanChains) {
  const GenerateOptions options = up_to(64);
  const GenerateResult one = alone(weights_, "little_tales", prompt_, options);
  const GenerateResult chain =
      drafted(with_draft_model(2), weights_, first_layers(2), prompt_, options);
  const GenerateResult tree =
      drafted(with_tree("[3, 2]"), weights_, first_layers(2), prompt_, options);
  EXPECT_EQ(tree.tokens, one.tokens);
  EXPECT_EQ(tree.logits, one.logits);
  EXPECT_EQ(tree.rounds.front().drafted, 3 + 6);
  EXPECT_LT(tree.rounds.size(), chain.rounds.size());
}

TEST_F(TreesOfLittleTales, OnAPoolOfPromptsAndOneOfTokensLeaveTheTextAsItIs) {
  const Scenario own = context_.loader.scenario(
      "little_tales_gpu_pd",
      {{"draft_model", "little_tales"}, {"speculation", "{method: draft_model, tree: [2, 2]}"}});
  const GenerateResult two = drafted(own, weights_, first_layers(2), prompt_, up_to(48));
  EXPECT_EQ(two.tokens, alone(weights_, "little_tales", prompt_, up_to(48)).tokens);
}

TEST_F(TreesOfLittleTales, SampledTextIsDistributedAsTheModels) {
  GenerateOptions options = up_to(static_cast<std::int64_t>(prompt_.size()) + 4);
  options.temperature = 1.5;
  options.top_k = 6;
  options.top_p = 0.95;
  const Weights half = first_layers(2);
  const Scenario own = with_tree("[2, 2]");
  constexpr std::int64_t runs = 400;
  std::int64_t accepted = 0;
  std::int64_t rounds = 0;
  const auto seen = texts_of_runs(runs, prompt_.size(), [&](std::uint64_t seed) {
    options.seed = seed;
    const GenerateResult result = drafted(own, weights_, half, prompt_, options);
    accepted += accepted_in(result);
    rounds += std::ssize(result.rounds);
    return result;
  });
  const ChiSquare test =
      chi_square(exact_texts(weights_, prompt_, 3, sampling_of(options)), seen, runs);
  EXPECT_LT(test.statistic, test.limit);
  // Both ways are taken often.
  EXPECT_GT(accepted, rounds / 4);
  EXPECT_LT(accepted, 7 * rounds / 4);
}

// A prompt that repeats itself; the model's own text hardly does.
TEST_F(TreesOfLittleTales, DraftsThatAreLookedUpLeaveTheTextAsItIs) {
  prompt_ = tokenizer_.encode("The cat saw a red ball. The dog saw a red ball. The cat saw a red",
                              true, false);
  const GenerateOptions options = up_to(100);
  const GenerateResult one = alone(weights_, "little_tales", prompt_, options);
  const GenerateResult two =
      drafted(with_lookup("drafts: 3, prompt_lookup_min: 1, prompt_lookup_max: 4"), weights_, {},
              prompt_, options);
  EXPECT_EQ(two.tokens, one.tokens);
  EXPECT_EQ(two.logits, one.logits);
  EXPECT_GT(accepted_in(two), 0);
  EXPECT_LT(two.total, one.total);
  // Nothing but the model's passes takes time.
  EXPECT_EQ(two.chip_cycles.size(), 1u);
}

TEST_F(TreesOfLittleTales, SampledTextOfLookedUpDraftsIsDistributedAsTheModels) {
  prompt_ = tokenizer_.encode("Mia had a dog. Mia", true, false);
  GenerateOptions options = up_to(static_cast<std::int64_t>(prompt_.size()) + 4);
  options.temperature = 1.5;
  options.top_k = 6;
  const Scenario own = with_lookup("drafts: 2, prompt_lookup_min: 1, prompt_lookup_max: 3");
  constexpr std::int64_t runs = 300;
  std::int64_t accepted = 0;
  const auto seen = texts_of_runs(runs, prompt_.size(), [&](std::uint64_t seed) {
    options.seed = seed;
    const GenerateResult result = drafted(own, weights_, {}, prompt_, options);
    accepted += accepted_in(result);
    return result;
  });
  const ChiSquare test =
      chi_square(exact_texts(weights_, prompt_, 3, sampling_of(options)), seen, runs);
  EXPECT_LT(test.statistic, test.limit);
  EXPECT_GT(accepted, 0);
}

TEST_F(Trees, OfSeveralModulesAreRefused) {
  NeuralNetwork network = context_.loader.network("qwen35-tiny");
  network.mtp.modules = 2;
  const Weights weights = random_weights(network, 9);
  EXPECT_THROW((void)drafted(scenario("qwen35-tiny", "{method: mtp, tree: [2, 2]}"), weights, {},
                             prompt_, up_to(32)),
               ConfigError);
}

}  // namespace
}  // namespace tandem::entry
