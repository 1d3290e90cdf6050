// Intervals of a run's figures, and whether its queue had an end.
#include "sim/report/sampling.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "sim/core/random.hpp"
#include "sim/service/backlog.hpp"

namespace tandem {
namespace {

TEST(Intervals, OfIndependentValuesAreThoseOfTheirMean) {
  // 2,500 standard normal values: the mean's interval is 1.96 / 50 to either side, that of the
  // median by the factor sqrt(pi / 2) wider.
  RandomStream stream(7, "values");
  std::vector<double> values;
  for (int i = 0; i < 2500; ++i) values.push_back(stream.normal());
  const auto intervals = intervals_of(values, 1, "test");
  ASSERT_TRUE(intervals);
  EXPECT_NEAR(intervals->mean[1] - intervals->mean[0], 2 * 1.96 / 50, 0.2 * 2 * 1.96 / 50);
  const double median = 2 * 1.96 / 50 * std::sqrt(std::acos(-1.0) / 2);
  EXPECT_NEAR(intervals->p50[1] - intervals->p50[0], median, 0.3 * median);
  EXPECT_GT(intervals->p99[0], 2.0);
  EXPECT_LT(intervals->p99[1], 2.8);
}

TEST(Intervals, AreWiderWhereNeighboursAreAlike) {
  // Runs of 50 equal values: the mean rests on 50 independent ones, not on 2,500.
  RandomStream stream(7, "values");
  std::vector<double> values;
  for (int i = 0; i < 50; ++i) values.insert(values.end(), 50, stream.normal());
  const auto intervals = intervals_of(values, 1, "test");
  ASSERT_TRUE(intervals);
  const double expected = 2 * 1.96 / std::sqrt(50.0);
  EXPECT_NEAR(intervals->mean[1] - intervals->mean[0], expected, 0.35 * expected);
}

TEST(Intervals, OfAFewValuesAreNone) {
  EXPECT_FALSE(intervals_of(std::vector<double>(19, 1.0), 1, "test"));
  EXPECT_TRUE(intervals_of(std::vector<double>(20, 1.0), 1, "test"));
}

/// Requests that come every second and take `first_s` at the beginning, `last_s` at the end.
RunResult run_of(double first_s, double last_s) {
  RunResult result;
  result.traffic.arrivals = ArrivalKind::Poisson;
  for (int i = 0; i < 100; ++i) {
    RequestRecord record;
    record.arrival_s = i;
    record.e2e_ms = 1000 * (first_s + (last_s - first_s) * i / 99);
    result.requests.push_back(record);
  }
  return result;
}

TEST(Backlog, GrowsWhereRequestsTakeLongerAndLonger) {
  // 20.5 seconds each: 20.5 are open at any time.
  const auto steady = backlog_of(run_of(20.5, 20.5));
  ASSERT_TRUE(steady);
  EXPECT_NEAR(steady->open_before, 20.5, 0.5);
  EXPECT_NEAR(steady->open_late, 20.5, 0.5);
  EXPECT_TRUE(steady->is_long);
  EXPECT_FALSE(steady->grows());
  // From 0.5 to 90.5 seconds: of the last ones nearly half are open.
  const auto growing = backlog_of(run_of(0.5, 90.5));
  ASSERT_TRUE(growing);
  EXPECT_GT(growing->open_late, 40);
  EXPECT_TRUE(growing->grows());
  RunResult closed = run_of(1, 1);
  closed.traffic.arrivals = ArrivalKind::Closed;
  EXPECT_FALSE(backlog_of(closed));
}

TEST(Backlog, OfAShortRunIsJudgedByWhoWaits) {
  // All come before the first is answered: more and more are open, nobody waits.
  RunResult run = run_of(300, 300);
  const auto open = backlog_of(run);
  EXPECT_GT(open->open_late, 2 * open->open_before);
  EXPECT_FALSE(open->is_long);
  EXPECT_FALSE(open->grows());
  for (RequestRecord& record : run.requests) record.ttft_ms = 900 * record.arrival_s;
  const auto waiting = backlog_of(run);
  EXPECT_NEAR(waiting->waiting_late, 41, 3);  // those of the last 47 % of the time before
  EXPECT_TRUE(waiting->grows());
}

TEST(Backlog, OfARampIsJudgedByWhoWaits) {
  RunResult run = run_of(1, 60);
  EXPECT_TRUE(backlog_of(run)->grows());
  run.traffic.arrivals = ArrivalKind::Ramp;
  EXPECT_FALSE(backlog_of(run)->grows());
}

TEST(Backlog, OfConversationsIsThatWhileTheyBegin) {
  // Ten conversations begin in the first ten seconds and take a hundred turns each.
  RunResult run = run_of(20.5, 20.5);
  for (std::size_t i = 10; i < run.requests.size(); ++i) run.requests[i].turn = 1;
  const auto backlog = backlog_of(run);
  EXPECT_NEAR(backlog->open_before, 3.9, 0.1);  // three to five
}

}  // namespace
}  // namespace tandem
