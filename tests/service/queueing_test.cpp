// A replica as a queue, against theory: Little's law, and the M/D/1 queue (Pollaczek-Khinchine:
// mean wait = rho D / (2 (1 - rho))). Steps cost what the fake chips say.
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "sim/service/batching_replica.hpp"
#include "sim/service/source.hpp"
#include "tests/step/fakes.hpp"

namespace tandem {
namespace {

/// One replica behind a source, and somebody who counts its requests from time to time.
class Queue : public RequestInlet, public RequestSink, public Component {
 public:
  Queue(const Scenario& scenario, Picoseconds look_every)
      : scenario_(scenario),
        pool_(scenario_, scenario_.placement.decode, 0, fakes::catalogue(), fakes::network(),
              store_),
        estimator_(pool_, Fidelity::Cycle, false),
        replica_(setup(), scenario_.serving),
        source_(scenario_.traffic, Picoseconds(0), true, 5, agenda_, *this),
        look_every_(look_every) {
    source_.start();
    agenda_.wake(*this, look_every_, Phase::Release);
    agenda_.run();
  }

  void arrived(Request& request, Picoseconds now) override { replica_.submit(request, now); }
  void token(Request& request, Picoseconds now) override {
    if (request.generated == 1) request.first_token = now;
  }
  void prefilled(Request&, Picoseconds) override {}
  void reserved(Request&, Replica&, Picoseconds) override {}
  void finished(Request& request, Picoseconds now) override {
    request.finish = now;
    source_.answered(request, now);
  }
  void act(Picoseconds now, Phase) override {
    looks_.push_back({now, replica_.load()});
    if (source_.answered_count() == scenario_.traffic.requests) return;
    agenda_.wake(*this, now + look_every_, Phase::Release);
  }

  [[nodiscard]] const std::deque<Request>& requests() const { return source_.requests(); }
  /// Mean number of requests that were seen in the replica within [from, to).
  [[nodiscard]] double seen(Picoseconds from, Picoseconds to) const {
    double sum = 0;
    std::int64_t count = 0;
    for (const auto& [time, load] : looks_) {
      if (time < from || time >= to) continue;
      sum += static_cast<double>(load);
      ++count;
    }
    return sum / static_cast<double>(count);
  }

 private:
  ReplicaSetup setup() {
    ReplicaSetup setup;
    setup.estimator = &estimator_;
    setup.sink = this;
    setup.agenda = &agenda_;
    setup.name = "gpu";
    return setup;
  }

  Scenario scenario_;
  StageStore store_;
  PoolModel pool_;
  StepEstimator estimator_;
  CalendarAgenda agenda_;
  BatchingReplica replica_;
  RequestSource source_;
  Picoseconds look_every_;
  std::vector<std::pair<Picoseconds, std::int64_t>> looks_;
};

/// Requests of one token, one at a time: each takes 4 x (1000 + 10 x 32) = 5280 ns.
constexpr std::int64_t service_ps = 5'280'000;

Scenario one_at_a_time(double load, std::int64_t requests) {
  Scenario s = fakes::scenario();
  s.traffic.arrivals = ArrivalKind::Poisson;
  s.traffic.rate = load / (service_ps * 1e-12);
  s.traffic.output_tokens = 1;
  s.traffic.requests = requests;
  s.serving.max_sequences = 1;
  return s;
}

TEST(Queueing, EveryWaitFollowsFromTheOneBefore) {
  // Lindley: a request waits for what is left of the one before it, w' = max(0, w + D - gap).
  const Queue queue(one_at_a_time(0.8, 2000), Picoseconds(service_ps));
  Picoseconds wait{0};
  for (std::size_t i = 0; i < queue.requests().size(); ++i) {
    const Request& request = queue.requests()[i];
    if (i > 0) {
      const Picoseconds gap = request.arrival - queue.requests()[i - 1].arrival;
      wait = std::max(Picoseconds(0), wait + Picoseconds(service_ps) - gap);
    }
    ASSERT_EQ((request.finish - request.arrival).count(), wait.count() + service_ps) << i;
  }
}

TEST(Queueing, MeanWaitIsThatOfAnMD1Queue) {
  for (const double load : {0.3, 0.6, 0.8}) {
    const Queue queue(one_at_a_time(load, 250'000), Picoseconds(100 * service_ps));
    double wait = 0;
    for (const Request& request : queue.requests()) {
      wait += static_cast<double>((request.finish - request.arrival).count() - service_ps);
    }
    wait /= static_cast<double>(queue.requests().size());
    // The load that these arrivals are, instead of the one that was asked for.
    const double gap = static_cast<double>(queue.requests().back().arrival.count()) /
                       static_cast<double>(queue.requests().size());
    const double rho = service_ps / gap;
    EXPECT_NEAR(rho, load, 0.01 * load);
    EXPECT_NEAR(wait / service_ps, rho / (2 * (1 - rho)), 0.02 * rho / (2 * (1 - rho))) << load;
  }
}

TEST(Queueing, LittlesLawHoldsInSteadyState) {
  // Batches of up to eight with answers of different length, at two loads. Whoever looks at the
  // replica counts L requests; they come at rate lambda and stay W.
  for (const double rate : {0.12e6, 0.19e6}) {
    Scenario s = fakes::scenario();
    s.traffic.arrivals = ArrivalKind::Poisson;
    s.traffic.rate = rate;
    s.traffic.output_tokens = 6;
    s.traffic.length_spread = 0.5;
    s.traffic.requests = 20'000;
    const Queue queue(s, Picoseconds(1'237'000));
    const auto& requests = queue.requests();
    const Picoseconds from = requests[2'000].arrival, to = requests[18'000].arrival;
    double stay = 0;
    for (std::size_t i = 2'000; i < 18'000; ++i) {
      stay += to_seconds(requests[i].finish - requests[i].arrival);
    }
    stay /= 16'000;
    const double lambda = 16'000 / to_seconds(to - from);
    EXPECT_NEAR(queue.seen(from, to), lambda * stay, 0.01 * lambda * stay) << rate;
    EXPECT_GT(lambda * stay, 1) << "a queue";
  }
}

}  // namespace
}  // namespace tandem
