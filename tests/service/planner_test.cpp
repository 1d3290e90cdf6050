// The planner's rules on figures that can be worked out, and whole runs that it scales.
#include <gtest/gtest.h>

#include <cmath>

#include "sim/service/planner/autoscaler.hpp"
#include "sim/service/planner/budget.hpp"
#include "sim/service/planner/step_profile.hpp"
#include "sim/service/service.hpp"
#include "tests/step/fakes.hpp"

namespace tandem {
namespace {

using namespace literals;

/// 10,000 prompt tokens per second; n requests decode in steps of 10 + n ms.
class SimpleProfile final : public ReplicaProfile {
 public:
  double ttft_s(double prompt_tokens) override { return prompt_tokens / 1e4; }
  double prompt_tokens_per_s(double) override { return 1e4; }
  double itl_s(double requests, double) override { return 0.010 + 0.001 * requests; }
  double tokens_per_s_within(double itl, double context) override {
    const double requests = std::max(1.0, std::floor((itl - 0.010) / 0.001 + 1e-9));
    return requests / itl_s(requests, context);
  }
};

Planner planner() {
  Planner rules;
  rules.interval = from_seconds(10);
  rules.itl = 20_ms;
  return rules;
}

/// 10 requests/s of 2,000 + 200 tokens. Two replicas decode 100 x 4 s / 10 s / 2 = 20 at a time.
IntervalLoad load() {
  return {.requests = 100,
          .prompt_tokens = 2000,
          .output_tokens = 200,
          .ttft_s = 0.2,
          .itl_s = 0.030,
          .duration_s = 4};
}

TEST(PlannerRule, ComparesWhatWasMeasuredWithWhatReplicasDoByThemselves) {
  SimpleProfile profile;
  IntervalLoad measured = load();
  Corrections corrections = corrections_of(measured, {1, 2}, planner(), profile);
  EXPECT_DOUBLE_EQ(corrections.prefill, 1);  // 2000 / 10,000 s
  EXPECT_DOUBLE_EQ(corrections.decode, 1);   // 10 + 20 ms
  measured.ttft_s = 0.4;
  measured.itl_s = 0.045;
  corrections = corrections_of(measured, {1, 2}, planner(), profile);
  EXPECT_DOUBLE_EQ(corrections.prefill, 2);
  EXPECT_DOUBLE_EQ(corrections.decode, 1.5);
  Planner rules = planner();
  rules.corrects = false;
  EXPECT_EQ(corrections_of(measured, {1, 2}, rules, profile).decode, 1);
}

TEST(PlannerRule, TakesAsManyReplicasAsTheLoadNeeds) {
  // Prompts: 20,000 tokens/s, two replicas. Tokens: 2,000/s; within 20 ms a replica has 10 requests
  // at once, 500 tokens/s, so four.
  SimpleProfile profile;
  EXPECT_EQ(replicas_for(load(), {1, 1}, planner(), profile), (ReplicaCounts{2, 4}));
  // Half the time to the first token: half the prompts. A longer one changes nothing.
  EXPECT_EQ(replicas_for(load(), {0.5, 1}, planner(), profile).prefill, 1);
  EXPECT_EQ(replicas_for(load(), {2, 1}, planner(), profile).prefill, 2);
  // Steps half as long again: 13.3 ms are aimed at, three requests at once, 3 / 13 ms: nine.
  EXPECT_EQ(replicas_for(load(), {1, 1.5}, planner(), profile).decode, 9);
  Planner rules = planner();
  rules.least_replicas = 5;
  EXPECT_EQ(replicas_for(load(), {1, 1}, rules, profile), (ReplicaCounts{5, 5}));
}

TEST(PlannerBudget, ShrinksPromptsInProportionAndGivesTheRestToTokens) {
  // 4 x 2 + 9 = 17 of 10: prompts keep 4 x 10 / 17, two replicas, tokens the other 6.
  EXPECT_EQ(within_budget({4, 9}, {2, 1}, 10, 1), (ReplicaCounts{2, 6}));
  EXPECT_EQ(within_budget({4, 9}, {2, 1}, 17, 1), (ReplicaCounts{4, 9}));
  // Tokens keep their least: of 5, prompts get floor((5 - 3) / 2).
  EXPECT_EQ(within_budget({9, 3}, {2, 1}, 5, 3), (ReplicaCounts{3, 3}));
  EXPECT_EQ(within_budget({9, 1}, {2, 1}, 5, 1), (ReplicaCounts{2, 1}));
  // Rounding leaves room that tokens did not ask for.
  EXPECT_EQ(within_budget({5, 1}, {3, 1}, 11, 1), (ReplicaCounts{3, 1}));
}

TEST(ScaledPool, TakesRequestsOnceItHasStarted) {
  ScaledPool pool(4, 1);
  const auto idle = [](std::int64_t) { return false; };
  EXPECT_EQ(pool.ready(0_ns), 1);
  pool.scale_to(3, 10_ns, 5_ns, idle);
  EXPECT_EQ(pool.on(), 3);
  EXPECT_EQ(pool.ready(14_ns), 1);
  EXPECT_EQ(pool.ready(15_ns), 3);
  pool.scale_to(2, 20_ns, 5_ns, idle);
  EXPECT_EQ(pool.ready(20_ns), 2);
  // One that still serves what it had needs no start.
  pool.scale_to(3, 21_ns, 5_ns, [](std::int64_t replica) { return replica == 2; });
  EXPECT_EQ(pool.ready(21_ns), 3);
}

/// Up to four replicas of each pool on fake chips, requests that come at a constant rate.
Scenario scaled() {
  Scenario s = fakes::scenario();
  s.placement.mode = PlacementMode::Disaggregated;
  s.placement.prefill.replicas = 4;
  s.placement.decode = s.placement.prefill;
  s.traffic.arrivals = ArrivalKind::Constant;
  s.traffic.rate = 400000;
  s.traffic.requests = 400;
  Planner rules;
  rules.interval = 100_us;
  rules.itl = 4100_ns;
  rules.ttft = 5300_ns;  // one prompt by itself
  s.serving.planner = rules;
  return s;
}

RunResult serve(const Scenario& s) {
  RunOptions options;
  options.exact = true;
  return run(s, fakes::catalogue(), fakes::network(), options);
}

TEST(Autoscaler, FollowsTheLoad) {
  // A prompt of 32 tokens takes 5280 ns, so a replica computes 1 / 5.28 us = 189,000 of them a
  // second: 400,000 take three.
  const RunResult result = serve(scaled());
  EXPECT_EQ(result.requests.size(), 400u);
  ASSERT_TRUE(result.planner);
  const auto& decisions = result.planner->decisions;
  ASSERT_GE(decisions.size(), 3u);
  EXPECT_EQ(decisions.front().at, 100_us);
  // The first came when users begin; one every 2.5 us.
  EXPECT_NEAR(static_cast<double>(decisions[1].load.requests), 40, 1);
  EXPECT_EQ(decisions[1].load.prompt_tokens, 32);
  EXPECT_EQ(decisions[1].wanted.prefill, 3);
  EXPECT_GT(result.planner->mean_prefill, 1);
  EXPECT_LT(result.planner->mean_prefill, 4);
  // What is on costs: the mean share of the replicas.
  EXPECT_DOUBLE_EQ(result.pools[0].kept_chips(), result.planner->mean_prefill);
}

TEST(Autoscaler, IsHeldByWhatIsPlacedByChipsAndByPower) {
  Scenario s = scaled();
  s.traffic.rate = 2e6;
  EXPECT_EQ(serve(s).planner->decisions[0].limit, "replicas");
  s.serving.planner->chip_budget = 3;
  const PlannerDecision chips = serve(s).planner->decisions[0];
  EXPECT_EQ(chips.limit, "chips");
  EXPECT_LE(chips.replicas.prefill + chips.replicas.decode, 3);
  s.serving.planner->chip_budget = 0;
  s.serving.planner->power_cap_w = 1000;
  s.serving.planner->prefill_chip_w = 400;
  s.serving.planner->decode_chip_w = 200;
  const PlannerDecision power = serve(s).planner->decisions[0];
  EXPECT_EQ(power.limit, "power");
  EXPECT_LE(400 * power.replicas.prefill + 200 * power.replicas.decode, 1000);
}

TEST(Autoscaler, StartsLateWhereReplicasTakeTimeToStart) {
  Scenario s = scaled();
  const auto mean_ttft = [](const RunResult& result) {
    double sum = 0;
    for (const RequestRecord& request : result.requests) sum += request.ttft_ms;
    return sum / static_cast<double>(result.requests.size());
  };
  const double early = mean_ttft(serve(s));
  s.serving.planner->start_time = 200_us;
  EXPECT_GT(mean_ttft(serve(s)), early);
}

TEST(Autoscaler, LeavesARunThatItDoesNotScaleAsItWas) {
  // As many replicas at least as there are: nothing to decide.
  Scenario s = scaled();
  s.serving.planner->least_replicas = 4;
  const RunResult scaled_run = serve(s);
  s.serving.planner.reset();
  const RunResult fixed = serve(s);
  EXPECT_FALSE(fixed.planner);
  ASSERT_EQ(scaled_run.requests.size(), fixed.requests.size());
  for (std::size_t i = 0; i < fixed.requests.size(); ++i) {
    EXPECT_EQ(scaled_run.requests[i].e2e_ms, fixed.requests[i].e2e_ms);
  }
  EXPECT_DOUBLE_EQ(scaled_run.planner->mean_decode, 4);
}

}  // namespace
}  // namespace tandem
