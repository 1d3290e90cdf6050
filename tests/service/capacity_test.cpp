// The load search against systems whose capacity can be worked out.
#include "sim/service/capacity.hpp"

#include <gtest/gtest.h>

#include "tests/step/fakes.hpp"

namespace tandem {
namespace {

using namespace literals;

CapacityResult search(const Scenario& s) {
  ServiceModel model(s, fakes::catalogue(), fakes::network(), std::nullopt);
  CapacityOptions options;
  options.curve = true;
  options.run.exact = true;
  return find_capacity(s, model, options);
}

TEST(Capacity, FindsTheLargestBatchWithinTheTokenTime) {
  // All users start together and stay in step, so n users decode in steps of
  // 4 x (1000 + 10 n) ns. Prompt of one token: also a step of n tokens. 4.2 us allows n = 5.
  Scenario s = fakes::scenario();
  s.traffic.prompt_tokens = 1;
  s.traffic.output_tokens = 100;
  s.traffic.requests = 1;
  s.slo.tpot_p99 = 4200_ns;
  const CapacityResult result = search(s);
  EXPECT_EQ(result.load, 5);
  EXPECT_EQ(result.load_unit, "users");
  EXPECT_EQ(result.limit, "tpot_p99");
  EXPECT_EQ(result.next.load, 6);
  EXPECT_NEAR(result.next.tpot_ms.p99, 4240e-6, 1e-9);
  EXPECT_EQ(result.bottleneck, "gpu: fake");
  ASSERT_EQ(result.curve.size(), 6u);  // doubled up to 8, then halved: 1, 2, 4, 5, 6, 8
  EXPECT_TRUE(result.curve[3].holds());
  EXPECT_EQ(result.curve[4].load, 6);
  EXPECT_FALSE(result.curve[4].meets_slo);
  // One chip, so all tokens are its own.
  EXPECT_EQ(result.curve[3].output_tokens_per_s_per_chip, result.curve[3].output_tokens_per_s);
}

TEST(Capacity, NoLoadHoldsWhenOneUserIsTooSlow) {
  Scenario s = fakes::scenario();
  s.slo.tpot_p99 = 4000_ns;  // one user needs 4040
  const CapacityResult result = search(s);
  EXPECT_EQ(result.load, 0);
  EXPECT_EQ(result.limit, "tpot_p99");
  ASSERT_EQ(result.curve.size(), 1u);
  EXPECT_FALSE(result.curve.front().holds());
}

TEST(Capacity, WithoutObjectivesTheSlotsLimit) {
  const CapacityResult result = search(fakes::scenario());  // 8 sequences, so up to 16 users
  EXPECT_EQ(result.load, 16);
  EXPECT_EQ(result.limit, "max_sequences");
}

/// A server of one request at a time: 5280 ns to the first token, then 3 x 4040 ns.
Scenario one_at_a_time() {
  Scenario s = fakes::scenario();
  s.serving.max_sequences = 1;
  s.traffic.arrivals = ArrivalKind::Constant;
  s.traffic.rate = 10000;
  s.traffic.requests = 2000;
  return s;
}

constexpr double most_served = 1 / 17400e-9;  // requests/s

TEST(Capacity, OfAServerThatQueuesNothingIsItsServiceRate) {
  // Constant arrivals below it wait for nobody; above it the queue grows.
  const CapacityResult result = search(one_at_a_time());
  EXPECT_EQ(result.load_unit, "requests/s");
  EXPECT_EQ(result.limit, "saturation");
  EXPECT_TRUE(result.next.saturated);
  EXPECT_LE(result.next.load, result.load * 1.02);
  EXPECT_NEAR(result.load, most_served, 0.03 * most_served);
}

TEST(Capacity, IsFoundBelowTheRateThatTheScenarioHas) {
  Scenario s = one_at_a_time();
  s.traffic.rate = 1e6;
  s.slo.ttft_p99 = 6000_ns;  // whoever waits misses it
  const CapacityResult result = search(s);
  EXPECT_LE(result.load, most_served);
  EXPECT_GE(result.load, 0.98 * most_served);
  EXPECT_GT(result.next.load, most_served);
}

TEST(Capacity, EndsWithinTheToleranceAskedFor) {
  Scenario s = one_at_a_time();
  s.slo.ttft_p99 = 6000_ns;
  ServiceModel model(s, fakes::catalogue(), fakes::network(), std::nullopt);
  CapacityOptions options;
  options.tolerance = 0.2;
  const CapacityResult coarse = find_capacity(s, model, options);
  // 10, 20, 40 hold, 80 fails; 60 fails, 50 holds, 55 holds: (60 - 50) / 50 is within it already.
  EXPECT_EQ(coarse.load, 50000);
  EXPECT_EQ(coarse.next.load, 60000);
  EXPECT_EQ(coarse.tolerance, 0.2);
}

TEST(Capacity, LengthensRunsThatEndBeforeAQueueShows) {
  // Eight sequences side by side: twenty answers of 100 tokens come and go within each other.
  Scenario s = fakes::scenario();
  s.traffic.arrivals = ArrivalKind::Constant;
  s.traffic.rate = 10000;
  s.traffic.requests = 20;
  s.traffic.output_tokens = 100;
  const CapacityResult result = search(s);
  EXPECT_GT(result.run.traffic.requests, 20);
  EXPECT_TRUE(result.next.saturated);
  // Eight sequences and 99 passes of at most 4 x 1080 ns after the prompt.
  EXPECT_GT(result.load, 0.95 * 8 / 433e-6);
  EXPECT_LT(result.load, 1.25 * 8 / 433e-6);
}

/// Conversations of three turns at a server of one request at a time.
Scenario conversations(double rate) {
  Scenario s = one_at_a_time();
  s.serving.prefix_cache = false;
  s.traffic.turns = 3;
  s.traffic.rate = rate;
  s.traffic.requests = 500;
  return s;
}

TEST(Capacity, OfConversationsIsWhatTheirTurnsLeave) {
  // Three turns of more and more text: about a third of the requests that it answers.
  const CapacityResult result = search(conversations(1000));
  EXPECT_EQ(result.limit, "saturation");
  EXPECT_LT(result.load, most_served / 3);
  EXPECT_GT(result.load, most_served / 5);
}

TEST(Capacity, OfUsersWhoThinkIsOfMoreUsersThanThereIsRoomFor) {
  Scenario s = conversations(0);
  s.traffic.arrivals = ArrivalKind::Closed;
  s.traffic.requests = 1;
  s.traffic.think_time_s = 1e-3;  // a turn takes about 20 us
  s.slo.ttft_p99 = 1_ms;
  const CapacityResult result = search(s);
  EXPECT_EQ(result.limit, "ttft_p99");
  EXPECT_GT(result.load, 10);
}

/// Users who all come at once: their first prompts queue, the later ones come as answers end.
Scenario users_at_once() {
  Scenario s = fakes::scenario();
  s.traffic.output_tokens = 100;
  s.traffic.requests = 1;
  s.slo.ttft_p99 = 18_us;
  return s;
}

TEST(Capacity, WarnsWhereOnlyFirstRequestsBreakTheTimeToTheFirstToken) {
  const CapacityResult result = search(users_at_once());
  EXPECT_EQ(result.limit, "ttft_p99");
  ASSERT_TRUE(result.next.ttft_p99_later_ms);
  EXPECT_GT(result.next.ttft_ms.p99, 18e-3);
  EXPECT_LE(*result.next.ttft_p99_later_ms, 18e-3);
  ASSERT_EQ(result.warnings.size(), 1u);
  EXPECT_NE(result.warnings[0].find("users' first requests"), std::string::npos);
}

TEST(Capacity, DoesNotWarnOfFirstRequestsThatAreLeftOut) {
  Scenario s = users_at_once();
  s.traffic.warm_up_requests = 16;
  s.traffic.requests = 64;
  const CapacityResult result = search(s);
  EXPECT_GT(result.load, search(users_at_once()).load);
  EXPECT_TRUE(result.warnings.empty());
}

TEST(Capacity, DoesNotWarnWhereLaterRequestsMissTheObjectiveToo) {
  Scenario s = users_at_once();
  s.serving.max_sequences = 1;  // whoever waits, waits for a whole answer, in every round
  const CapacityResult result = search(s);
  EXPECT_EQ(result.limit, "ttft_p99");
  EXPECT_TRUE(result.warnings.empty());
}

TEST(Capacity, NamesWhatTheLoadCounts) {
  Traffic traffic;
  EXPECT_EQ(load_unit_of(traffic), "users");
  traffic.branches = 8;
  EXPECT_EQ(load_unit_of(traffic), "groups of 8 answers");
  traffic.branches = 1;
  traffic.agents = 3;
  EXPECT_EQ(load_unit_of(traffic), "groups of 3 agents");
  traffic.agents = 1;
  traffic.turns = 5;
  EXPECT_EQ(load_unit_of(traffic), "sessions");
  traffic.arrivals = ArrivalKind::Poisson;
  EXPECT_EQ(load_unit_of(traffic), "sessions/s");
  traffic.turns = 1;
  traffic.arrivals = ArrivalKind::Ramp;
  EXPECT_EQ(load_unit_of(traffic), "requests/s at the start of the ramp");
}

TEST(Capacity, OfATraceWithoutTimeIsRefused) {
  Scenario s = fakes::scenario();
  s.traffic.arrivals = ArrivalKind::Trace;
  s.traffic.rate = 0;
  EXPECT_THROW(static_cast<void>(search(s)), ConfigError);
}

}  // namespace
}  // namespace tandem
