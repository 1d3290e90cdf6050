// Arrivals: when they come and how long they are.
#include "sim/service/source.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace tandem {
namespace {

class Arrivals final : public RequestInlet {
 public:
  void arrived(Request& request, Picoseconds now) override {
    EXPECT_EQ(request.arrival.count(), now.count());
    times.push_back(to_seconds(now));
  }
  std::vector<double> times;
};

Arrivals arrivals_of(const Traffic& traffic, bool shares_prefixes = true,
                     std::deque<Request>* requests = nullptr) {
  CalendarAgenda agenda;
  Arrivals arrivals;
  RequestSource source(traffic, Picoseconds(0), shares_prefixes, 7, agenda, arrivals);
  source.start();
  agenda.run();
  if (requests != nullptr) *requests = source.requests();
  return arrivals;
}

Traffic open_traffic(ArrivalKind kind, std::int64_t requests) {
  Traffic traffic;
  traffic.arrivals = kind;
  traffic.rate = 10;
  traffic.requests = requests;
  return traffic;
}

/// Mean and coefficient of variation of the times between arrivals.
std::pair<double, double> gaps_of(const Arrivals& arrivals) {
  double sum = 0, squares = 0, before = 0;
  for (const double time : arrivals.times) {
    sum += time - before;
    squares += (time - before) * (time - before);
    before = time;
  }
  const auto count = static_cast<double>(arrivals.times.size());
  const double mean = sum / count;
  return {mean, std::sqrt(squares / count - mean * mean) / mean};
}

TEST(Source, ClosedUsersStartTogetherWhereTheRampIsNone) {
  Traffic traffic;
  traffic.arrivals = ArrivalKind::Closed;
  traffic.concurrency = traffic.requests = 4;
  traffic.ramp = Picoseconds(0);
  EXPECT_EQ(arrivals_of(traffic).times, (std::vector<double>{0, 0, 0, 0}));
  traffic.ramp = Picoseconds(4'000'000'000'000);
  EXPECT_EQ(arrivals_of(traffic).times, (std::vector<double>{0, 1, 2, 3}));
}

TEST(Arrivals, OfGammaHaveTheRateAndTheBurstinessAsked) {
  for (const double burstiness : {0.5, 1.0, 2.0, 3.0}) {
    Traffic traffic = open_traffic(ArrivalKind::Gamma, 40000);
    traffic.burstiness = burstiness;
    const auto [mean, variation] = gaps_of(arrivals_of(traffic));
    // Six standard errors of the mean; the variation's own error is a few times that of the mean.
    EXPECT_NEAR(mean, 0.1, 6 * 0.1 * burstiness / 200) << burstiness;
    EXPECT_NEAR(variation, burstiness, 0.05 * burstiness) << burstiness;
  }
}

TEST(Arrivals, OfARampComeAsOftenAsItsRateAtTheTime) {
  // 10 to 30 per second over 100 s: 2,000 of them, 750 in the first half; then 30 per second.
  Traffic traffic = open_traffic(ArrivalKind::Ramp, 5000);
  traffic.end_rate = 30;
  traffic.ramp_time_s = 100;
  const Arrivals arrivals = arrivals_of(traffic);
  const auto until = [&](double end) {
    return static_cast<double>(std::count_if(arrivals.times.begin(), arrivals.times.end(),
                                             [&](double t) { return t < end; }));
  };
  EXPECT_NEAR(until(50), 750, 4 * std::sqrt(750));
  EXPECT_NEAR(until(100), 2000, 4 * std::sqrt(2000));
  EXPECT_NEAR(until(150) - until(100), 1500, 4 * std::sqrt(1500));
}

TEST(Arrivals, OfAFallingRampThinOut) {
  Traffic traffic = open_traffic(ArrivalKind::Ramp, 1100);
  traffic.end_rate = 1;
  traffic.ramp_time_s = 100;
  // (10 + 1) / 2 x 100 in the ramp, the other 550 at one per second.
  EXPECT_NEAR(arrivals_of(traffic).times.back(), 650, 4 * std::sqrt(550));
}

std::shared_ptr<const RequestTrace> three_requests() {
  RequestTrace trace;
  trace.requests = {{Picoseconds(0), 32, 5, {{1, 32}}},
                    {Picoseconds(0), 64, 6, {{1, 32}, {2, 64}}},
                    {from_seconds(0.5), 48, 7, {}}};
  return std::make_shared<const RequestTrace>(trace);
}

TEST(Arrivals, OfATraceComeWhenTheyWereRecorded) {
  Traffic traffic = open_traffic(ArrivalKind::Trace, 3);
  traffic.trace = three_requests();
  traffic.rate = traffic.trace->rate();
  std::deque<Request> requests;
  EXPECT_EQ(arrivals_of(traffic, true, &requests).times, (std::vector<double>{0, 0, 0.5}));
  EXPECT_EQ(requests[1].prompt, 64);
  EXPECT_EQ(requests[1].output, 6);
  EXPECT_EQ(requests[1].shared.size(), 2U);
  traffic.rate *= 2;
  EXPECT_EQ(arrivals_of(traffic).times, (std::vector<double>{0, 0, 0.25}));
  arrivals_of(traffic, false, &requests);
  EXPECT_TRUE(requests[1].shared.empty());
}

TEST(Arrivals, OfAClosedLoopBeginTheTraceAgainWhenItIsOver) {
  Traffic traffic = open_traffic(ArrivalKind::Closed, 5);
  traffic.concurrency = 5;
  traffic.trace = three_requests();
  std::deque<Request> requests;
  arrivals_of(traffic, true, &requests);
  ASSERT_EQ(requests.size(), 5U);
  EXPECT_EQ(requests[3].prompt, 32);
  EXPECT_EQ(requests[4].output, 6);
  // The text is another: a cache finds nothing of the first lap.
  ASSERT_EQ(requests[4].shared.size(), requests[1].shared.size());
  EXPECT_EQ(requests[4].shared[0].end, requests[1].shared[0].end);
  EXPECT_NE(requests[4].shared[0].key, requests[1].shared[0].key);
}

}  // namespace
}  // namespace tandem
