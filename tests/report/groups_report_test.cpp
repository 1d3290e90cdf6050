// What a group of requests costs, measured, over what one of its requests costs in a run by itself,
// against the closed forms of docs/decisions/shared_prefixes.md. A pass of n tokens takes
// 4 x (base + 10 n) ns.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "sim/report/page.hpp"
#include "sim/report/result_json.hpp"
#include "tests/report/priced_scenario.hpp"

namespace tandem {
namespace {

using Json = nlohmann::json;

struct GroupRun {
  Json json;
  std::string page;
  double usd = 0;          ///< of the whole run
  double price_ratio = 0;  ///< of an output token over a prompt token
};

GroupRun run_groups(const Scenario& s) {
  ServiceModel model(s, fakes::catalogue(), fakes::network(), std::nullopt);
  RunOptions options;
  options.exact = true;
  const RunResult result = model.run(s.traffic, options);
  const Accounting books = account(s, result);
  const Sensitivity sensitivity;
  const ReportInput input{s, result, books, sensitivity};
  return {Json::parse(comparable_json(input)), run_page(input),
          *books.usd_per_hour_used * result.simulated_s / 3600,
          *books.usd_per_m_output_tokens / *books.usd_per_m_input_tokens};
}

/// `base`: ns that a pass costs however few tokens it has.
Scenario of_one_group(double base) {
  Scenario s = fakes::priced(fakes::scenario());
  fakes::set(s.system.chips["big"].parameters, "base", base);
  return s;
}

Scenario branching(double base) {
  Scenario s = of_one_group(base);
  s.traffic.branches = 3;
  return s;
}

/// Two agents, two rounds, prefix 32, own tokens 16, answers of 8: parts fill blocks of 16.
Scenario discussing(double base) {
  Scenario s = of_one_group(base);
  s.traffic.agents = 2;
  s.traffic.rounds = 2;
  s.traffic.shared_prefix_tokens = 32;
  s.traffic.prompt_tokens = 16;
  s.traffic.output_tokens = 8;
  return s;
}

/// The first request of a scenario's group in a run by itself.
GroupRun one_request(Scenario s) {
  s.traffic.prompt_tokens += s.traffic.shared_prefix_tokens;
  s.traffic.branches = s.traffic.agents = s.traffic.rounds = 1;
  s.traffic.shared_prefix_tokens = 0;
  return run_groups(s);
}

double cost_over_one_request(const Scenario& s) {
  return run_groups(s).json["groups"]["usd_per_group"].get<double>() / one_request(s).usd;
}

// Electricity of the few nanojoules per token is not in proportion to time.
constexpr double rounding = 1e-5;

// Prompt 32, answers of 4, the first token of which the prompt's pass gives:
// (32 + 3 x 3) / (32 + 3), and r = 3/4 of a prompt token's price.
TEST(GroupCost, OfBranchesIsTheClosedFormWhereTokensShareNothing) {
  const double r = one_request(branching(0)).price_ratio;
  EXPECT_NEAR(r, 0.75, 1e-9);
  EXPECT_NEAR(cost_over_one_request(branching(0)), (32 + 3 * 4 * r) / (32 + 4 * r), rounding);
}

// S + a p + (R - 1)(a O + a p) = 32 + 32 + 48 prompt tokens and 4 answers of 7 further tokens, over
// 48 and 7; r = 7/8.
TEST(GroupCost, OfAgentsIsTheClosedFormWhereTokensShareNothing) {
  const double r = one_request(discussing(0)).price_ratio;
  EXPECT_NEAR(r, 0.875, 1e-9);
  EXPECT_NEAR(cost_over_one_request(discussing(0)), (112 + 4 * 8 * r) / (48 + 8 * r), rounding);
}

// With 1000 ns per layer and pass three branches decode for little more than one: 5280 + 3 x 4120
// over 5280 + 3 x 4040 ns, where the closed form has more than 2. Twelve tokens in four passes.
TEST(GroupCost, IsLessWhereBranchesSharePasses) {
  const Scenario s = branching(1000);
  EXPECT_NEAR(cost_over_one_request(s), 17640.0 / 17400, rounding);
  EXPECT_EQ(run_groups(s).json["groups"]["output_tokens_per_pass"], 3.0);
  const double r = one_request(s).price_ratio;
  EXPECT_GT((32 + 3 * 4 * r) / (32 + 4 * r), 2);
}

// The third branch of a prompt of 40 computes its last 8 tokens again when a sequence is free:
// 40 + 2 x 3 + 8 + 3 tokens over 40 + 3.
TEST(GroupCost, IsMoreWhereABranchWaitsForASequence) {
  Scenario s = branching(0);
  s.traffic.prompt_tokens = 40;
  s.serving.max_sequences = 2;
  EXPECT_NEAR(cost_over_one_request(s), 57.0 / 43, rounding);
  const GroupRun r = run_groups(s);
  EXPECT_EQ(r.json["groups"]["waited_for"]["sequence"], 1);
  EXPECT_NE(r.page.find("1 for a sequence"), std::string::npos);
}

// Agents one by one: the queue is named, and the prefix, which stays, is still computed once.
TEST(GroupCost, NamesTheQueueInWhichAgentsWait) {
  Scenario s = discussing(0);
  s.serving.max_sequences = 1;
  const Json groups = run_groups(s).json["groups"];
  EXPECT_EQ(groups["waited_for"]["sequence"], 2);
  EXPECT_EQ(groups["waited_for"]["kv_blocks"], 0);
  EXPECT_EQ(groups["prompt_tokens"]["computed"], 112);
  EXPECT_EQ(run_groups(discussing(0)).json["groups"]["waited_for"]["sequence"], 0);
}

// Prompts of 48 in steps of 48 tokens: the second agent begins in the next one.
TEST(GroupCost, NamesTheStepForWhichAgentsWait) {
  Scenario s = discussing(0);
  s.serving.max_batch_tokens = 48;
  const Json groups = run_groups(s).json["groups"];
  EXPECT_EQ(groups["waited_for"]["step"], 1);
  EXPECT_EQ(groups["waited_for"]["sequence"], 0);
}

// The second group's prompt comes while the first one's static batch is under way, of whose blocks
// most are free.
TEST(GroupCost, NamesThePolicyThatBeginsNothingNew) {
  Scenario s = branching(1000);
  s.serving.policy = "static";
  s.traffic.requests = 2;
  s.traffic.concurrency = 2;
  s.traffic.ramp = Picoseconds(4'000'000);
  const GroupRun r = run_groups(s);
  EXPECT_EQ(r.json["groups"]["waited_for"]["batch"], 1);
  EXPECT_EQ(r.json["groups"]["waited_for"]["kv_blocks"], 0);
  EXPECT_NE(r.page.find("0 for KV blocks, 0 for a step, 1 for the policy's next batch"),
            std::string::npos);
}

/// On a chip with a static schedule and so many slots, 64 bytes for each token of the longest
/// request.
Scenario on_slots(Scenario s, std::int64_t slots) {
  fakes::set(s.system.chips["small"].parameters, "slots", 1);
  const auto weights = whole_model(s.model, s.placement.decode.precision).weight_bytes().count();
  fakes::set(s.system.chips["small"].parameters, "capacity",
             static_cast<double>(weights + slots * 64 * longest_request(s.traffic)));
  s.placement.decode.pool = "lpu";
  s.placement.prefill = s.placement.decode;
  return s;
}

// Every agent computes its whole prompt: 48 twice, 64 twice, where 112 would do with sharing.
TEST(GroupCost, NamesSlotsThatShareNothing) {
  const Json tokens = run_groups(on_slots(discussing(0), 4)).json["groups"]["prompt_tokens"];
  EXPECT_EQ(tokens["closed_form"], 112);
  EXPECT_EQ(tokens["computed"], 2 * 48 + 2 * 64);
  EXPECT_EQ(tokens["computed_without_sharing"], 112);
  EXPECT_EQ(tokens["computed_after_eviction"], 0);
}

TEST(GroupCost, NamesTheSlotsForWhichAgentsWait) {
  const Json few = run_groups(on_slots(discussing(0), 1)).json["groups"]["waited_for"];
  EXPECT_EQ(few["sequence"], 2);
  EXPECT_EQ(few["kv_blocks"], 0);
  EXPECT_EQ(run_groups(on_slots(discussing(0), 4)).json["groups"]["waited_for"]["sequence"], 0);
}

// SGLang's tree takes in what a step computed when it is over: both agents of the first round
// compute the prefix of 32, both of the second what was written, 16 tokens behind it.
TEST(GroupCost, NamesPromptsThatAreComputedBesideOthers) {
  Scenario s = discussing(0);
  s.serving.policy = "sglang";
  const Json tokens = run_groups(s).json["groups"]["prompt_tokens"];
  EXPECT_EQ(tokens["closed_form"], 112);
  EXPECT_EQ(tokens["computed"], 112 + 32 + 16);
  EXPECT_EQ(tokens["computed_beside_others"], 32 + 16);
  EXPECT_EQ(tokens["computed_after_eviction"], 0);
  EXPECT_NEAR(cost_over_one_request(s), (160.0 + 28) / (48 + 7), rounding);
}

// Another group's prompt takes the blocks of the prefix between two rounds.
TEST(GroupCost, NamesPromptsThatWereEvicted) {
  Scenario s = discussing(0);
  s.traffic.agents = 1;
  s.traffic.rounds = 3;
  s.traffic.requests = 2;
  s.traffic.concurrency = 2;
  s.serving.max_sequences = 1;
  fakes::set(s.system.chips["big"].parameters, "capacity", 5776 + 1024 * 5);
  const Json tokens = run_groups(s).json["groups"]["prompt_tokens"];
  const auto again = tokens["computed"].get<int>() - tokens["closed_form"].get<int>();
  EXPECT_GT(again, 0);
  EXPECT_EQ(tokens["computed_after_eviction"], again);
  EXPECT_EQ(tokens["computed_beside_others"], 0);
}

}  // namespace
}  // namespace tandem
