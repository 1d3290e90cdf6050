// What replicas hold over time, and what a run leaves out of its figures.
#include "sim/service/occupancy.hpp"

#include <gtest/gtest.h>

#include <numeric>

#include "sim/core/diagnostics.hpp"
#include "sim/service/measured_window.hpp"
#include "sim/service/service.hpp"
#include "tests/step/fakes.hpp"

namespace tandem {
namespace {

using namespace literals;

TEST(OccupancyLog, KeepsTheLastValueOfATimeAndNothingThatStaysAsItWas) {
  OccupancyLog log;
  log.note(1_ns, {0, 0, 0});  // replicas begin empty
  log.note(2_ns, {1, 0, 0});
  log.note(2_ns, {0, 1, 4});
  log.note(3_ns, {0, 1, 4});
  ASSERT_EQ(log.changes().size(), 1u);
  EXPECT_EQ(log.changes()[0].at, 2_ns);
  EXPECT_EQ(log.changes()[0].now, (Occupancy{0, 1, 4}));
}

TEST(Occupancy, OfAPoolIsTheSumOfItsReplicas) {
  OccupancyLog first, second;
  first.note(1_ns, {2, 1, 4});
  first.note(5_ns, {0, 3, 9});
  second.note(3_ns, {1, 0, 0});
  second.note(5_ns, {0, 1, 2});
  const auto sum = sum_of({&first, &second});
  ASSERT_EQ(sum.size(), 3u);
  EXPECT_EQ(sum[0].now, (Occupancy{2, 1, 4}));
  EXPECT_EQ(sum[1].now, (Occupancy{3, 1, 4}));
  EXPECT_EQ(sum[2].at, 5_ns);
  EXPECT_EQ(sum[2].now, (Occupancy{0, 4, 11}));
}

TEST(Occupancy, BinsHaveMeansOverTimeAndPeaks) {
  // Two wait until 5 ns, one runs from the start, KV doubles at 5 ns. Parts of 2 ns: the third one
  // has each for half of it. What is before 0 does not count.
  const std::vector<OccupancyChange> changes = {
      {Picoseconds(-1000), {9, 9, 9}}, {0_ns, {2, 1, 4}}, {5_ns, {0, 1, 8}}};
  const OccupancyBins bins = in_bins(changes, 0_ns, 10_ns, 5);
  EXPECT_EQ(bins.waiting, (std::vector<double>{2, 2, 1, 0, 0}));
  EXPECT_EQ(bins.running, (std::vector<double>{1, 1, 1, 1, 1}));
  EXPECT_EQ(bins.kv, (std::vector<double>{4, 4, 6, 8, 8}));
  EXPECT_EQ(bins.waiting_peak, (std::vector<std::int64_t>{2, 2, 2, 0, 0}));
  EXPECT_EQ(bins.kv_peak, (std::vector<std::int64_t>{4, 4, 8, 8, 8}));
}

TEST(Occupancy, TokensFallIntoThePartInWhichTheyLeft) {
  const std::vector<TokenBurst> bursts = {{0_ns, 1, 0}, {4_ns, 3, 2}, {5_ns, 1, 1}, {10_ns, 7, 7}};
  EXPECT_EQ(in_bins(bursts, 0_ns, 10_ns, 2), (std::vector<std::int64_t>{4, 8}));
}

/// Tokens that left, and those of them that follow another of their request.
void expect_every_token_in_bursts(const Scenario& s) {
  RunOptions options;
  options.exact = true;
  const RunResult result = run(s, fakes::catalogue(), fakes::network(), options);
  std::int64_t tokens = 0, gaps = 0;
  for (const TokenBurst& burst : result.bursts) {
    tokens += burst.tokens;
    gaps += burst.gaps;
  }
  EXPECT_EQ(tokens, result.output_tokens);
  EXPECT_EQ(gaps, std::ssize(result.itl_ms));
  for (const PoolUse& pool : result.pools) {
    ASSERT_FALSE(pool.occupancy.empty());
    EXPECT_EQ(pool.occupancy.back().now, Occupancy()) << pool.name;
    std::int64_t most = 0;
    for (const OccupancyChange& change : pool.occupancy) most = std::max(most, change.now.kv);
    if (pool.replicas == 1) {
      EXPECT_DOUBLE_EQ(static_cast<double>(most) /
                           static_cast<double>(std::max<std::int64_t>(1, pool.kv_capacity)),
                       pool.kv_peak);
    }
  }
}

TEST(Occupancy, HasEveryTokenAndEndsEmpty) {
  Scenario s = fakes::scenario();
  s.traffic.requests = 6;
  s.traffic.concurrency = 3;
  expect_every_token_in_bursts(s);
  s.traffic.branches = 3;
  expect_every_token_in_bursts(s);
  Scenario split = fakes::split_scenario();
  split.traffic.requests = 4;
  split.traffic.concurrency = 2;
  expect_every_token_in_bursts(split);
}

TEST(Occupancy, OfTwoUsersOnOneSequenceOneWaits) {
  // A request takes 5280 ns for its first token and 3 x 4040 ns more. Both come at 0: the second
  // one waits for the first one's end.
  Scenario s = fakes::scenario();
  s.serving.max_sequences = 1;
  s.traffic.concurrency = 2;
  s.traffic.requests = 2;
  s.traffic.ramp = 0_ns;
  RunOptions options;
  options.exact = true;
  const RunResult result = run(s, fakes::catalogue(), fakes::network(), options);
  const auto& changes = result.pools.front().occupancy;
  ASSERT_GE(changes.size(), 2u);
  EXPECT_EQ(changes.front().at, 0_ns);
  EXPECT_EQ(changes.front().now.waiting, 1);
  EXPECT_EQ(changes.front().now.running, 1);
  const auto second = std::find_if(changes.begin(), changes.end(),
                                   [](const auto& change) { return change.now.waiting == 0; });
  EXPECT_EQ(second->at, 17400_ns);
}

/// Requests every second, the first token of each after half a second and its last after two, and
/// tokens that leave at these times.
RunResult one_per_second() {
  RunResult result;
  for (int i = 0; i < 4; ++i) {
    RequestRecord record;
    record.id = i;
    record.arrival_s = i;
    record.ttft_ms = 500;
    record.e2e_ms = 2000;
    record.prompt = 10;
    record.output = 2;
    result.requests.push_back(record);
    result.bursts.push_back({from_seconds(i + 0.5), 1, 0});
    result.bursts.push_back({from_seconds(i + 2), 1, 1});
    result.itl_ms.push_back(1500);
  }
  std::ranges::stable_sort(result.bursts, {}, &TokenBurst::at);
  result.simulated_s = 5;
  result.output_tokens = 8;
  result.input_tokens = 40;
  return result;
}

TEST(WarmUp, OfNothingIsTheWholeRun) {
  const MeasuredWindow window = measured_window(one_per_second());
  EXPECT_EQ(window.seconds, 5);
  EXPECT_EQ(window.output_tokens, 8);
  EXPECT_EQ(window.input_tokens, 40);
  EXPECT_EQ(window.answered, 4);
  EXPECT_EQ(window.left_out, 0);
}

TEST(WarmUp, OfTwoRequestsBeginsWithTheThird) {
  // The third comes at 2 s. Tokens from then on: last ones at 2, 3, 4, 5 s, first ones at 2.5 and
  // 3.5 s.
  RunResult result = one_per_second();
  result.traffic.warm_up_requests = 2;
  const MeasuredWindow window = measured_window(result);
  EXPECT_EQ(window.covers, (std::vector<bool>{false, false, true, true}));
  EXPECT_EQ(window.left_out, 2);
  EXPECT_EQ(window.start_s, 2);
  EXPECT_EQ(window.seconds, 3);
  EXPECT_EQ(window.output_tokens, 6);
  EXPECT_EQ(window.input_tokens, 20);
  EXPECT_EQ(window.answered, 4);
  EXPECT_EQ(window.first_gap, 0u);
}

TEST(WarmUp, OfATimeBeginsWithItsEnd) {
  // From 2.25 s on: last tokens at 3, 4, 5 s, first ones at 2.5 and 3.5 s; requests from 3 s on.
  RunResult result = one_per_second();
  result.traffic.warm_up_s = 2.25;
  const MeasuredWindow window = measured_window(result);
  EXPECT_EQ(window.covers, (std::vector<bool>{false, false, false, true}));
  EXPECT_EQ(window.start_s, 2.25);
  EXPECT_EQ(window.seconds, 2.75);
  EXPECT_EQ(window.output_tokens, 5);
  EXPECT_EQ(window.input_tokens, 20);
  EXPECT_EQ(window.answered, 3);
  EXPECT_EQ(window.first_gap, 1u);
}

TEST(WarmUp, LongerThanTheRunIsRefused) {
  RunResult result = one_per_second();
  result.traffic.warm_up_s = 10;
  EXPECT_THROW(static_cast<void>(measured_window(result)), ConfigError);
}

}  // namespace
}  // namespace tandem
