// Drafts on the chips that verify, with real numbers: greedy text is that of the model by itself
// whatever drafts, sampled text is distributed as the model's.
#include <gtest/gtest.h>

#include "sim/core/diagnostics.hpp"
#include "tests/entry/rounds_harness.hpp"

namespace tandem::entry {
namespace {

TEST_F(RoundsInPlace, ModulesLeaveTheTextAsItIs) {
  for (const char* name : {"qwen35-tiny", "dsv3-tiny"}) {
    const Weights weights = random_weights(context_.loader.network(name), 7);
    const GenerateResult one = alone(weights, name, prompt_, up_to(32));
    for (const char* drafts : {"1", "3"}) {
      const Scenario own = scenario(name, std::string("{method: mtp, drafts: ") + drafts + "}");
      const GenerateResult two = drafted(own, weights, {}, prompt_, up_to(32));
      EXPECT_EQ(two.tokens, one.tokens) << name << ", " << drafts << " drafts";
      EXPECT_EQ(two.logits, one.logits) << name << ", " << drafts << " drafts";
      EXPECT_EQ(two.token_gaps.size(), one.token_gaps.size());
      EXPECT_GE(two.total, two.floor);
      EXPECT_GT(two.total, one.time_to_first_token);
      EXPECT_TRUE(two.transfers.empty());
    }
  }
}

TEST_F(RoundsInPlace, SeveralModulesLeaveTheTextAsItIs) {
  NeuralNetwork network = context_.loader.network("qwen35-tiny");
  network.mtp.modules = 2;
  const Weights weights = random_weights(network, 9);
  Scenario own = scenario("qwen35-tiny", "{method: mtp, drafts: 4}");
  const GenerateResult two = drafted(own, weights, {}, prompt_, up_to(32));
  EXPECT_EQ(two.tokens, alone(weights, "qwen35-tiny", prompt_, up_to(32)).tokens);
}

// The module of a random network is as good as no module: most drafts are rejected.
TEST_F(RoundsInPlace, SampledTextOfModulesIsDistributedAsTheModels) {
  const Weights weights = random_weights(context_.loader.network("qwen35-tiny"), 7);
  GenerateOptions options = up_to(static_cast<std::int64_t>(prompt_.size()) + 4);
  options.temperature = 1;
  options.top_k = 4;
  const Scenario own = scenario("qwen35-tiny", "{method: mtp, drafts: 2}");
  constexpr std::int64_t runs = 600;
  std::int64_t accepted = 0;
  const auto seen = texts_of_runs(runs, prompt_.size(), [&](std::uint64_t seed) {
    options.seed = seed;
    const GenerateResult result = drafted(own, weights, {}, prompt_, options);
    accepted += accepted_in(result);
    return result;
  });
  const auto exact = exact_texts(weights, prompt_, 3, sampling_of(options));
  const ChiSquare test = chi_square(exact, seen, runs);
  EXPECT_LT(test.statistic, test.limit);
  EXPECT_GT(accepted, 0);
}

TEST_F(LittleTales, ADraftModelLeavesTheTextAsItIs) {
  GenerateOptions options = up_to(64);
  options.ignore_end = false;
  const GenerateResult one = alone(weights_, "little_tales", prompt_, options);
  const GenerateResult half =
      drafted(with_draft_model(3), weights_, first_layers(2), prompt_, options);
  EXPECT_EQ(half.tokens, one.tokens);
  EXPECT_EQ(half.logits, one.logits);
  EXPECT_GT(accepted_in(half), 0);
  EXPECT_LT(accepted_in(half), 3 * static_cast<std::int64_t>(half.rounds.size()));
}

// 4 tokens of the prompt; KV of the model's four layers and of the draft's two.
TEST_F(LittleTales, APoolOfPromptsHandsOverTheKvOfBoth) {
  const Scenario own = context_.loader.scenario(
      "little_tales_gpu_pd",
      {{"draft_model", "little_tales"}, {"speculation", "{method: draft_model, drafts: 3}"}});
  GenerateOptions options = up_to(48);
  const GenerateResult one = alone(weights_, "little_tales", prompt_, options);
  const GenerateResult two = drafted(own, weights_, first_layers(2), prompt_, options);
  EXPECT_EQ(two.tokens, one.tokens);
  ASSERT_EQ(two.transfers.size(), 2u);
  EXPECT_EQ(two.transfers[0].what, "kv");
  EXPECT_EQ(two.transfers[0].bytes, two.transfers[1].bytes * 2);
  EXPECT_GE(two.token_gaps[1], two.transfers[0].end - two.transfers[0].start);
  EXPECT_GT(accepted_in(two), 0);
}

TEST_F(RoundsInPlace, GangsDraftAndVerifyTogether) {
  const std::string pool = std::string("{mode: monolithic, pool: gpu, tensor: 2, expert: 2, ") +
                           "precision: " + floats + "}";
  for (const char* name : {"qwen35-tiny", "dsv3-tiny"}) {
    const Weights weights = random_weights(context_.loader.network(name), 7);
    const std::vector<Override> gang = {{"system", "dgx_h100"}, {"placement", pool}};
    const GenerateResult one = generate(scenario(name, "", gang), context_.catalogue,
                                        context_.make_network, weights, prompt_, up_to(24));
    const GenerateResult two =
        drafted(scenario(name, "{method: mtp, drafts: 2}", gang), weights, {}, prompt_, up_to(24));
    EXPECT_EQ(two.tokens, one.tokens) << name;
    EXPECT_EQ(two.logits, one.logits) << name;
  }
}

TEST_F(RoundsInPlace, APoolOfPromptsHandsOverRecurrentStatesToo) {
  const Weights weights = random_weights(context_.loader.network("qwen35-tiny"), 7);
  const Scenario own = context_.loader.scenario("little_tales_gpu_pd",
                                                {{"model", "qwen35-tiny"},
                                                 {"traffic.prompt_tokens", "16"},
                                                 {"traffic.output_tokens", "16"},
                                                 {"speculation", "{method: mtp, drafts: 3}"}});
  EXPECT_EQ(drafted(own, weights, {}, prompt_, up_to(32)).tokens,
            alone(weights, "qwen35-tiny", prompt_, up_to(32)).tokens);
}

TEST_F(RoundsInPlace, APoolOfPromptsHandsOverTheKvOfTheModule) {
  const Weights weights = random_weights(context_.loader.network("dsv3-tiny"), 7);
  const Scenario own = context_.loader.scenario("little_tales_gpu_pd",
                                                {{"model", "dsv3-tiny"},
                                                 {"traffic.prompt_tokens", "16"},
                                                 {"traffic.output_tokens", "16"},
                                                 {"speculation", "{method: mtp, drafts: 1}"}});
  const GenerateResult two = drafted(own, weights, {}, prompt_, up_to(32));
  EXPECT_EQ(two.tokens, alone(weights, "dsv3-tiny", prompt_, up_to(32)).tokens);
  ASSERT_EQ(two.transfers.size(), 2u);
  // Three layers of the model, one of the module.
  EXPECT_EQ(two.transfers[0].bytes, two.transfers[1].bytes * 3);
}

TEST_F(LittleTales, TheModelItselfIsAlwaysRight) {
  const GenerateResult whole = drafted(with_draft_model(3), weights_, weights_, prompt_, up_to(48));
  for (const DraftRound& round : whole.rounds) EXPECT_EQ(round.accepted, round.drafted);
}

TEST_F(LittleTales, TheModelItselfIsAlwaysRightWhereTextIsSampled) {
  // p = q: min(1, p / q) = 1.
  GenerateOptions options = up_to(40);
  options.temperature = 1;
  options.top_k = 20;
  options.top_p = 0.9;
  const GenerateResult whole = drafted(with_draft_model(3), weights_, weights_, prompt_, options);
  for (const DraftRound& round : whole.rounds) EXPECT_EQ(round.accepted, round.drafted);
  const GenerateResult again = drafted(with_draft_model(3), weights_, weights_, prompt_, options);
  EXPECT_EQ(again.tokens, whole.tokens);
  options.seed = 2;
  EXPECT_NE(drafted(with_draft_model(3), weights_, weights_, prompt_, options).tokens,
            whole.tokens);
}

TEST_F(LittleTales, SampledTextOfADraftModelIsDistributedAsTheModels) {
  GenerateOptions options = up_to(static_cast<std::int64_t>(prompt_.size()) + 4);
  options.temperature = 1.5;
  options.top_k = 6;
  options.top_p = 0.95;
  const Weights half = first_layers(2);
  const Scenario own = with_draft_model(2);
  constexpr std::int64_t runs = 400;
  std::int64_t accepted = 0;
  std::int64_t offered = 0;
  const auto seen = texts_of_runs(runs, prompt_.size(), [&](std::uint64_t seed) {
    options.seed = seed;
    const GenerateResult result = drafted(own, weights_, half, prompt_, options);
    accepted += accepted_in(result);
    for (const DraftRound& round : result.rounds) offered += round.drafted;
    return result;
  });
  const auto exact = exact_texts(weights_, prompt_, 3, sampling_of(options));
  const ChiSquare test = chi_square(exact, seen, runs);
  EXPECT_LT(test.statistic, test.limit);
  // Both ways are taken often.
  EXPECT_GT(accepted, offered / 4);
  EXPECT_LT(accepted, 3 * offered / 4);
}

TEST_F(LittleTales, SampledTextStaysAmongTheTokensAllowed) {
  GenerateOptions options = up_to(40);
  options.temperature = 1.5;
  options.top_k = 3;
  const GenerateResult two =
      drafted(with_draft_model(3), weights_, first_layers(2), prompt_, options);
  for (const auto& [position, logits] : two.logits) {
    const auto next = static_cast<std::size_t>(position) + 1;
    if (next >= two.tokens.size()) break;
    const std::vector<float> p = ops::sampling_probabilities(logits, sampling_of(options), {});
    EXPECT_GT(p[static_cast<std::size_t>(two.tokens[next])], 0) << position;
  }
}

TEST_F(LittleTales, TopKOfOneIsGreedy) {
  GenerateOptions options = up_to(40);
  const GenerateResult greedy = alone(weights_, "little_tales", prompt_, options);
  options.temperature = 2;
  options.top_k = 1;
  EXPECT_EQ(alone(weights_, "little_tales", prompt_, options).tokens, greedy.tokens);
  EXPECT_EQ(drafted(with_draft_model(3), weights_, first_layers(2), prompt_, options).tokens,
            greedy.tokens);
}

TEST_F(LittleTales, WhatCannotBeDoneIsAnError) {
  GenerateOptions options = up_to(16);
  options.top_k = 5;
  EXPECT_THROW((void)alone(weights_, "little_tales", prompt_, options), ConfigError);
}

}  // namespace
}  // namespace tandem::entry
