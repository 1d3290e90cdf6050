// Several texts from one prompt with real numbers: the prompt is computed once, and each text is
// what it would be on a cache of its own.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "sim/core/diagnostics.hpp"
#include "sim/entry/api.hpp"
#include "sim/lower/reference_model.hpp"
#include "sim/step/generate.hpp"

namespace tandem::entry {
namespace {

/// At 1 a network of random weights says the same token again and again.
constexpr double warm = 30;

/// A scenario, and a network of random weights for it.
struct BranchPlace {
  const char* scenario;
  const char* model;
};

class Branches : public ::testing::Test {
 protected:
  [[nodiscard]] GenerateResult run(const BranchPlace& where, const GenerateOptions& options) const {
    const Scenario own = context_.loader.scenario(
        where.scenario,
        {{"model", where.model}, {"traffic.prompt_tokens", "8"}, {"traffic.output_tokens", "8"}});
    const Weights weights = random_weights(context_.loader.network(where.model), 7);
    return generate(own, context_.catalogue, context_.make_network, weights, prompt_, options);
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
  /// GPUs, LPUs and both; Gated DeltaNet, whose states are copied, beside attention.
  std::vector<BranchPlace> everywhere_ = {{"little_tales_gpu", "little_tales"},
                                          {"little_tales_lpu", "little_tales"},
                                          {"little_tales_hybrid", "little_tales"},
                                          {"little_tales_gpu_pd", "qwen35-tiny"},
                                          {"little_tales_afd", "little_tales"}};
};

TEST_F(Branches, GreedyOnesAreTheSame) {
  for (const BranchPlace& where : everywhere_) {
    const GenerateResult result = run(where, options_of(3, 0));
    ASSERT_EQ(result.branches.size(), 2u) << where.scenario;
    for (const GeneratedBranch& branch : result.branches) {
      EXPECT_EQ(branch.tokens, result.tokens) << where.scenario;
      EXPECT_EQ(branch.logits, result.logits) << where.scenario;
      EXPECT_EQ(branch.token_gaps, result.token_gaps) << where.scenario;
    }
  }
}

TEST_F(Branches, FirstOneIsTheTextByItselfAndTheOthersDiffer) {
  for (const BranchPlace& where : everywhere_) {
    const GenerateResult alone = run(where, options_of(1, warm));
    const GenerateResult result = run(where, options_of(3, warm));
    EXPECT_EQ(result.tokens, alone.tokens) << where.scenario;
    EXPECT_EQ(result.logits, alone.logits) << where.scenario;
    EXPECT_EQ(result.time_to_first_token, alone.time_to_first_token) << where.scenario;
    EXPECT_TRUE(alone.branches.empty());
    EXPECT_NE(result.branches[0].tokens, result.tokens) << where.scenario;
    EXPECT_NE(result.branches[1].tokens, result.branches[0].tokens) << where.scenario;
  }
}

TEST_F(Branches, HaveTheLogitsOfATextComputedFromItsStart) {
  for (const BranchPlace& where : everywhere_) {
    const GenerateResult result = run(where, options_of(3, warm));
    for (const GeneratedBranch& branch : result.branches) {
      GenerateOptions forced = options_of(1, 0);
      forced.forced = branch.tokens;
      EXPECT_EQ(run(where, forced).logits, branch.logits) << where.scenario;
    }
  }
}

// Passes are shared: three texts take less than three times as long, and no less than one.
TEST_F(Branches, ShareTheirPasses) {
  const BranchPlace where = everywhere_.front();
  const GenerateResult alone = run(where, options_of(1, 0));
  const GenerateResult result = run(where, options_of(3, 0));
  const Picoseconds one = alone.total - alone.time_to_first_token;
  const Picoseconds three = result.total - result.time_to_first_token;
  EXPECT_GE(three, one);
  EXPECT_LT(three, one * 2);
  EXPECT_GE(result.total, result.floor);
}

TEST_F(Branches, KvOfThePromptCrossesOnce) {
  const auto kv_bytes = [](const GenerateResult& result) {
    Bytes bytes;
    for (const Transfer& transfer : result.transfers) {
      if (transfer.what == "kv") bytes += transfer.bytes;
    }
    return bytes;
  };
  const BranchPlace where{"little_tales_hybrid", "little_tales"};
  const Bytes alone = kv_bytes(run(where, options_of(1, 0)));
  EXPECT_GT(alone, Bytes(0));
  EXPECT_EQ(kv_bytes(run(where, options_of(3, 0))), alone);
}

TEST_F(Branches, AreAtLeastOneAndFit) {
  EXPECT_THROW((void)run(everywhere_.front(), options_of(0, 0)), ConfigError);
  EXPECT_THROW((void)run(everywhere_.front(), options_of(100'000'000, 0)), ConfigError);
}

/// Texts that `generate` writes of a scenario with such traffic.
class BranchesOfTraffic : public Branches {
 protected:
  [[nodiscard]] std::size_t texts(const std::string& traffic,
                                  std::optional<std::int64_t> branches = {}) const {
    const std::string folder = TANDEM_SOURCE_DIR "/workloads/checkpoints/little_tales/";
    GenerateRequest request;
    request.scenario = "little_tales_gpu";
    request.overrides = parse_overrides({traffic});
    request.checkpoint = folder + "model.bin";
    request.tokenizer = folder + "tokenizer.bin";
    request.prompt = "Once";
    request.tokens = 6;
    request.branches = branches;
    const auto json = nlohmann::json::parse(generate_text_of(context_, request).json);
    return json.contains("branches") ? json["branches"].size() : 1;
  }
};

TEST_F(BranchesOfTraffic, AreWrittenUnlessTheFlagSaysOtherwise) {
  EXPECT_EQ(texts("traffic.branches=3"), 3u);
  EXPECT_EQ(texts("traffic.branches=3", 2), 2u);
  EXPECT_EQ(texts("traffic.branches=3", 1), 1u);
  EXPECT_EQ(texts("traffic.requests=4"), 1u);
}

TEST_F(BranchesOfTraffic, AgentsAreRefused) {
  EXPECT_THROW((void)texts("traffic.agents=2"), ConfigError);
}

}  // namespace
}  // namespace tandem::entry
