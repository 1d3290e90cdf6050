// Which replica takes a request: costs and choices worked out by hand.
#include <gtest/gtest.h>

#include <filesystem>
#include <map>

#include "sim/service/routing/kv_overlap.hpp"
#include "sim/service/routing/session_affinity.hpp"
#include "sim/service/service.hpp"
#include "tests/step/fakes.hpp"

namespace tandem {
namespace {

/// A replica of which a router sees what the test says.
class ToldReplica final : public Replica {
 public:
  using Replica::Replica;
  void submit(Request&, Picoseconds) override { ++load_; }
  ForkOutcome fork(Request&, Request&, Picoseconds) override { return ForkOutcome::Runs; }
  void offer(Request&, Picoseconds) override {}
  void arrive(Request&, Picoseconds) override {}
  void resume(Request&, std::int64_t, Picoseconds) override {}
  void release(Request&, Picoseconds) override {}
  void act(Picoseconds, Phase) override {}
  [[nodiscard]] double kv_peak() const override { return 0; }
  [[nodiscard]] Occupancy occupancy() const override { return {}; }
  [[nodiscard]] std::int64_t kv_capacity() const override { return 0; }
  [[nodiscard]] std::int64_t cached_tokens(const Request&) const override { return cached; }
  std::int64_t cached = 0;
};

ReplicaPolicy::Replicas replicas_with(const std::vector<std::int64_t>& cached) {
  ReplicaPolicy::Replicas replicas;
  for (const std::int64_t tokens : cached) {
    auto replica = std::make_unique<ToldReplica>(ReplicaSetup{}, 1);
    replica->cached = tokens;
    replicas.push_back(std::move(replica));
  }
  return replicas;
}

Request request_of(std::int64_t id, std::int64_t prompt, std::vector<SharedPart> shared = {}) {
  Request request;
  request.id = id;
  request.prompt = prompt;
  request.output = 4;
  request.shared = std::move(shared);
  return request;
}

/// Blocks of 16 tokens.
Serving by_overlap(double weight = 1, double temperature = 0) {
  Serving serving;
  serving.router = "kv_overlap";
  serving.overlap_weight = weight;
  serving.router_temperature = temperature;
  return serving;
}

TEST(ActiveBlocks, CountWhatIsSharedOnce) {
  // Of 100 tokens 6 blocks are full. The first two prompts share 4 of them.
  ActiveBlocks blocks(16);
  const Request a = request_of(0, 100, {{7, 64}}), b = request_of(1, 100, {{7, 64}});
  const Request c = request_of(2, 50, {{7, 50}});
  blocks.add(a);
  EXPECT_EQ(blocks.count(), 6);
  EXPECT_EQ(blocks.with(b), 8);
  EXPECT_EQ(blocks.with(c), 6) << "3 full blocks, all there";
  blocks.add(b);
  blocks.add(c);
  EXPECT_EQ(blocks.count(), 8);
  blocks.remove(a);
  EXPECT_EQ(blocks.count(), 6);
  blocks.remove(b);
  EXPECT_EQ(blocks.count(), 3);
  blocks.remove(c);
  EXPECT_EQ(blocks.count(), 0);
}

TEST(KvOverlap, TakesTheReplicaOfLeastCost) {
  // A prompt of 160 tokens: 10 blocks, of which replica 1 has 6 cached. Both are idle.
  // Costs: 10 + 10 and 4 + 10.
  const auto replicas = replicas_with({0, 96});
  KvOverlap policy(by_overlap(), 1, PoolDuty::Prompts);
  const Request first = request_of(0, 160, {{1, 96}});
  ASSERT_EQ(policy.choose(first, replicas), 1u);
  policy.placed(first, 1);
  // The same again. Replica 0: 10 + 10. Replica 1: (64 + 64) / 16 to compute, 10 blocks in use and
  // 4 more: 8 + 14 = 22.
  const Request second = request_of(1, 160, {{1, 96}});
  EXPECT_EQ(policy.choose(second, replicas), 0u);
  // Once the first prompt is computed replica 1 costs 4 + 14 = 18.
  policy.prompt_done(first);
  EXPECT_EQ(policy.choose(second, replicas), 1u);
  // Cached prefixes that count double: 20 + 10 against 8 + 14.
  // With another request of 10 blocks of its own in replica 1: 20 against 4 + 24 by weight 1, and
  // 60 against 20 + 24 by weight 5.
  const Request other = request_of(2, 160);
  for (const auto& [weight, chosen] : std::map<double, std::size_t>{{1, 0}, {5, 1}}) {
    KvOverlap weighed(by_overlap(weight), 1, PoolDuty::Prompts);
    for (const Request* request : {&first, &other}) {
      weighed.placed(*request, 1);
      weighed.prompt_done(*request);
    }
    EXPECT_EQ(weighed.choose(second, replicas), chosen) << weight;
  }
  // When both have left nothing is in use.
  policy.placed(other, 1);
  policy.left(first);
  policy.left(other);
  EXPECT_EQ(policy.choose(second, replicas), 1u);
  EXPECT_EQ(policy.choose(second, replicas_with({16, 0})), 0u) << "both are idle again";
}

TEST(KvOverlap, OfAPoolThatDecodesLooksAtBlocksInUseAlone) {
  // Replica 1 has the prefix, and 2 blocks in use more than replica 0.
  const auto replicas = replicas_with({0, 160});
  KvOverlap policy(by_overlap(), 1, PoolDuty::Tokens);
  policy.placed(request_of(0, 32), 1);
  EXPECT_EQ(policy.choose(request_of(1, 320), replicas), 0u);
}

TEST(KvOverlap, DrawsAmongEqualOnes) {
  const auto replicas = replicas_with({0, 0, 0, 32});
  KvOverlap policy(by_overlap(), 1, PoolDuty::Prompts);
  std::map<std::size_t, int> chosen;
  const Request first = request_of(-1, 64);
  policy.placed(first, 3);  // costs of a prompt of 64: 8, 8, 8 and 6 + 8
  for (int i = 0; i < 3000; ++i) ++chosen[policy.choose(request_of(i, 64), replicas)];
  for (std::size_t i = 0; i < 3; ++i) EXPECT_NEAR(chosen[i], 1000, 6 * 26) << i;
  EXPECT_EQ(chosen.count(3), 0u);
}

TEST(KvOverlap, DrawsByTheSoftmaxOfCosts) {
  // Costs 20, 17 and 14, scaled to 1, 1/2 and 0; at temperature 1/2 their weights are e^-2, e^-1
  // and 1 of 1.5032.
  const auto replicas = replicas_with({0, 48, 96});
  KvOverlap policy(by_overlap(1, 0.5), 1, PoolDuty::Prompts);
  std::map<std::size_t, int> chosen;
  for (int i = 0; i < 10000; ++i) ++chosen[policy.choose(request_of(i, 160), replicas)];
  EXPECT_NEAR(chosen[0], 900, 6 * 29);
  EXPECT_NEAR(chosen[1], 2447, 6 * 43);
  EXPECT_NEAR(chosen[2], 6652, 6 * 47);
}

TEST(SessionAffinity, KeepsASessionAndMovesFewWhenAReplicaComes) {
  std::map<std::size_t, int> sessions;
  int moved = 0;
  for (std::int64_t session = 0; session < 4000; ++session) {
    const std::size_t of_four = SessionAffinity::replica_of(session, 4);
    const std::size_t of_five = SessionAffinity::replica_of(session, 5);
    ++sessions[of_four];
    if (of_five == of_four) continue;
    ++moved;
    EXPECT_EQ(of_five, 4u) << "only to the new one";
  }
  for (const auto& [replica, count] : sessions) EXPECT_NEAR(count, 1000, 6 * 28) << replica;
  EXPECT_NEAR(moved, 800, 6 * 26);
}

/// Six requests of each of three sessions in turn, on two replicas, at times at which nothing is
/// under way. The prompt of each is that of the one before it in its session and 32 tokens more.
Scenario three_sessions(const std::string& router) {
  Scenario s = fakes::scenario();
  s.placement.prefill.replicas = 2;
  s.placement.decode = s.placement.prefill;
  s.serving.router = router;
  s.serving.max_batch_tokens = 1000;
  RequestTrace trace;
  for (std::int64_t i = 0; i < 18; ++i) {
    const std::int64_t prompt = 64 + 32 * (i / 3);
    trace.requests.push_back(
        {Picoseconds(1'000'000'000 * i), prompt, 2, {{i % 3, prompt}}, 0, i % 3});
  }
  s.traffic.arrivals = ArrivalKind::Trace;
  s.traffic.trace = std::make_shared<const RequestTrace>(trace);
  s.traffic.rate = trace.rate();
  s.traffic.requests = 18;
  return s;
}

std::int64_t cached_tokens(const Scenario& scenario) {
  RunOptions options;
  options.exact = true;
  std::int64_t cached = 0;
  for (const RequestRecord& record :
       run(scenario, fakes::catalogue(), fakes::network(), options).requests) {
    cached += record.cached_tokens;
  }
  return cached;
}

TEST(Routing, FollowsTheCacheOrTheSession) {
  // Turns 1 to 5 find all blocks of the turn before: 64 + 96 + 128 + 160 + 192 = 640 tokens of
  // each session. In round robin every other turn is at the same replica and finds the one before
  // the last: 64 + 96 + 128 + 160 = 448.
  EXPECT_EQ(cached_tokens(three_sessions("kv_overlap")), 3 * 640);
  EXPECT_EQ(cached_tokens(three_sessions("session_affinity")), 3 * 640);
  EXPECT_EQ(cached_tokens(three_sessions("round_robin")), 3 * 448);
}

}  // namespace
}  // namespace tandem
