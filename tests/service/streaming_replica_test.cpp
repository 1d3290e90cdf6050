// How wide the passes of a replica with a static schedule are, on chips whose costs are worked out
// by hand. A pass of w tokens takes a station of n layers n x (base + token x w).
#include "sim/service/streaming_replica.hpp"

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "tests/step/fakes.hpp"

namespace tandem {
namespace {

/// Notes when each request's tokens come out.
class NotingSink final : public RequestSink {
 public:
  void token(Request& request, Picoseconds now) override { at[request.id].push_back(now); }
  void prefilled(Request&, Picoseconds) override {}
  void reserved(Request&, Replica&, Picoseconds) override {}
  void finished(Request&, Picoseconds) override {}
  std::map<std::int64_t, std::vector<Picoseconds>> at;
};

/// Four layers on static chips with 16 batch slots; all times in nanoseconds.
class StreamingUnderTest : public Component {
 public:
  StreamingUnderTest(double base, double token, std::int64_t pipeline)
      : scenario_(scenario_of(base, token, pipeline)),
        pool_(scenario_, scenario_.placement.decode, 0, fakes::catalogue(), fakes::network(),
              store_),
        estimator_(pool_, Fidelity::Cycle, true),
        replica_(setup()) {}

  /// A request that arrives at `ns`.
  void add(std::int64_t ns, std::int64_t prompt, std::int64_t output) {
    Request request;
    request.id = static_cast<std::int64_t>(requests_.size());
    request.arrival = Picoseconds(1000 * ns);
    request.prompt = prompt;
    request.output = output;
    requests_.push_back(request);
  }
  /// When tokens come out, in nanoseconds, by request.
  std::map<std::int64_t, std::vector<std::int64_t>> run() {
    for (const Request& request : requests_) agenda_.wake(*this, request.arrival, Phase::Release);
    agenda_.run();
    std::map<std::int64_t, std::vector<std::int64_t>> result;
    for (const auto& [id, times] : sink_.at) {
      for (const Picoseconds time : times) result[id].push_back(time.count() / 1000);
    }
    return result;
  }
  void act(Picoseconds now, Phase) override { replica_.submit(requests_[next_++], now); }

 private:
  static Scenario scenario_of(double base, double token, std::int64_t pipeline) {
    Scenario s = fakes::scenario();
    fakes::set(s.system.chips["small"].parameters, "slots", 16);
    fakes::set(s.system.chips["small"].parameters, "base", base);
    fakes::set(s.system.chips["small"].parameters, "token", token);
    s.placement.decode.pool = "lpu";
    s.placement.decode.pipeline = pipeline;
    s.placement.prefill = s.placement.decode;
    return s;
  }
  ReplicaSetup setup() {
    ReplicaSetup setup;
    setup.estimator = &estimator_;
    setup.sink = &sink_;
    setup.agenda = &agenda_;
    setup.name = "lpu";
    return setup;
  }

  Scenario scenario_;
  StageStore store_;
  PoolModel pool_;
  StepEstimator estimator_;
  NotingSink sink_;
  CalendarAgenda agenda_;
  StreamingReplica replica_;
  std::vector<Request> requests_;
  std::size_t next_ = 0;
};

using Tokens = std::map<std::int64_t, std::vector<std::int64_t>>;

// base = token = 1000: a pass of w tokens takes 4 x (1000 + 1000 w) ns: 8, 12, 20 us.
TEST(StreamingReplica, APassIsAsWideAsLetsAllTokensThroughFirst) {
  // Four tokens: 4 x 8 = 32, 2 x 12 = 24, 1 x 20 us.
  StreamingUnderTest four(1000, 1000, 1);
  four.add(0, 4, 1);
  EXPECT_EQ(four.run(), (Tokens{{0, {20000}}}));
}

TEST(StreamingReplica, WidthsThatLeaveSlotsEmptyCostMoreThanTheySave) {
  // Five tokens: 5 x 8 = 40, 3 x 12 = 36, 2 x 20 = 40 us: two. Then three: 24 and 24 us, no gain by
  // two: one. Then two: 16 and 12 us: two. 12 + 8 + 12 us.
  StreamingUnderTest five(1000, 1000, 1);
  five.add(0, 5, 1);
  EXPECT_EQ(five.run(), (Tokens{{0, {32000}}}));
}

TEST(StreamingReplica, NoPassIsWiderThanTheChipsSlots) {
  // Hardly anything per token: 20 tokens would like 32 slots; there are 16. 4 x (1000 + 16) ns,
  // then four tokens: 4 x (1000 + 4) ns.
  StreamingUnderTest many(1000, 1, 1);
  for (int r = 0; r < 5; ++r) many.add(0, 4, 1);
  EXPECT_EQ(many.run(), (Tokens{{0, {4064}}, {1, {4064}}, {2, {4064}}, {3, {4064}}, {4, {8080}}}));
}

// Two stations of two layers, base 1500, token 1000: 5 us for one token, 7 us for two. Hidden
// states of 16 B and a token of 8 B each take 1 ns per byte and 100 ns: latencies 10,224 and
// 14,248.
TEST(StreamingReplica, TokensOnTheirWayCountAsAtHand) {
  // At 5,000 ns two wait and one is on its way. Three tokens: 10,224 + 2 x 5,000 against
  // 14,248 + 7,000: one at a time. (Two tokens would go together: 15,224 against 14,248.)
  StreamingUnderTest three(1500, 1000, 2);
  three.add(0, 1, 1);
  three.add(1000, 1, 1);
  three.add(1000, 1, 1);
  EXPECT_EQ(three.run(), (Tokens{{0, {10224}}, {1, {15224}}, {2, {20224}}}));
}

TEST(StreamingReplica, TwoTokensAtHandGoTogetherWhereThatIsSooner) {
  StreamingUnderTest two(1500, 1000, 2);
  two.add(0, 1, 1);
  two.add(0, 1, 1);
  EXPECT_EQ(two.run(), (Tokens{{0, {14248}}, {1, {14248}}}));
}

}  // namespace
}  // namespace tandem
