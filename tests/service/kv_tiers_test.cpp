// Blocks below HBM, by hand: what goes down and up, when it is there, and what requests gain.
#include "sim/service/kv_tiers.hpp"

#include <gtest/gtest.h>

#include "sim/service/batch_scheduler.hpp"
#include "sim/service/service.hpp"
#include "tests/step/fakes.hpp"

namespace tandem {
namespace {

constexpr Bytes one_block{1024};  ///< 16 tokens of 64 B

/// 1 ns per byte, 100 ns of latency.
TierRules tier_of(std::int64_t blocks) {
  return {.capacity = blocks, .bandwidth = 1e9, .latency = Picoseconds(100'000)};
}

Picoseconds ns(std::int64_t count) {
  return Picoseconds(1000 * count);
}

/// A prompt of `blocks` blocks of one part.
Request prompt_of(std::int64_t key, std::int64_t blocks) {
  Request request;
  request.id = key;
  request.prompt = 16 * blocks + 1;
  request.output = 1;
  request.shared = {{key, 16 * blocks}};
  return request;
}

/// The last blocks of a part of ten, from its end, as HBM drops them.
std::vector<BlockName> end_of(std::int64_t key, std::int64_t count) {
  std::vector<BlockName> names;
  for (std::int64_t i = 1; i <= count; ++i) names.push_back({key, 10 - i});
  return names;
}

TEST(KvTiers, WriteWhatIsDroppedAndFindIt) {
  KvTiers tiers(tier_of(100), nullptr, one_block, 16);
  tiers.write_down(end_of(1, 4), ns(0));
  const Request request = prompt_of(1, 10);
  EXPECT_EQ(tiers.blocks_below(request, 6, 10), 4);
  EXPECT_EQ(tiers.blocks_below(request, 5, 10), 0) << "block 5 is not there: the prefix ends";
  EXPECT_EQ(tiers.blocks_below(prompt_of(2, 10), 6, 10), 0);
  EXPECT_EQ(tiers.host_use().writes, 4);
}

TEST(KvTiers, MoveOneTransferAfterTheOtherEachWay) {
  // Four blocks go down in 4096 ns, the last one is written at 4196. Read at 1000 they leave when
  // they are there: at 4196 + 4096 + 100 = 8392. Two more read at 5000 follow at 8292, when the way
  // is free: + 2048 + 100.
  KvTiers tiers(tier_of(100), nullptr, one_block, 16);
  tiers.write_down(end_of(1, 4), ns(0));
  EXPECT_EQ(tiers.load(prompt_of(1, 10), 6, 10, ns(1000)), ns(8392));
  EXPECT_EQ(tiers.load(prompt_of(1, 10), 8, 10, ns(5000)), ns(10440));
  // The way down is another one: four blocks at 6000 are there at 6000 + 4096 + 100, and read
  // alone after 10340, when the way up is free: + 4096 + 100.
  tiers.write_down(end_of(2, 4), ns(6000));
  EXPECT_EQ(tiers.load(prompt_of(2, 10), 6, 10, ns(10000)), ns(14536));
  EXPECT_EQ(tiers.host_use().hits, 10);
  EXPECT_EQ(tiers.host_use().reading, ns(10240));
  EXPECT_EQ(tiers.host_use().writing, ns(8192));
}

TEST(KvTiers, DropTheBlocksUsedLongestAgoIntoTheNextTier) {
  // Room for 4. Blocks 9 to 6 of part 1 fill it; then 9 and 8 are read, so 7 and 6 were used
  // longest ago: two of part 2 push them out, and the store takes them.
  BlockTier store(tier_of(100));
  KvTiers tiers(tier_of(4), &store, one_block, 16);
  tiers.write_down(end_of(1, 4), ns(0));
  tiers.load(prompt_of(1, 10), 8, 10, ns(10'000));
  tiers.write_down(end_of(2, 2), ns(20'000));
  EXPECT_TRUE(store.has({1, 7}));
  EXPECT_TRUE(store.has({1, 6}));
  EXPECT_EQ(store.held(), 2);
  // All four are still found, half of them in each; both come at once, the store's pair after
  // 2048 ns of its own way.
  EXPECT_EQ(tiers.blocks_below(prompt_of(1, 10), 6, 10), 4);
  EXPECT_EQ(tiers.load(prompt_of(1, 10), 6, 10, ns(50'000)), ns(50'000 + 2048 + 100));
  EXPECT_EQ(store.use().hits, 2);
  EXPECT_EQ(tiers.credit(prompt_of(1, 10), 6, 10), 2 * 0.75 + 2 * 0.25);
  EXPECT_EQ(tiers.credit(prompt_of(1, 10), 5, 10), 0) << "the prefix ends";
  EXPECT_EQ(tiers.host_use().dropped, 2);
}

TEST(KvTiers, OfAStoreServeAllReplicas) {
  BlockTier store(tier_of(3));
  KvTiers one({}, &store, one_block, 16), other({}, &store, one_block, 16);
  one.write_down(end_of(1, 2), ns(0));
  EXPECT_EQ(other.blocks_below(prompt_of(1, 10), 8, 10), 2);
  one.write_down(end_of(1, 2), ns(0));  // used again, not written again
  other.write_down(end_of(2, 2), ns(0));
  EXPECT_EQ(store.use().writes, 4);
  EXPECT_EQ(store.use().dropped, 1);
  EXPECT_EQ(one.blocks_below(prompt_of(1, 10), 8, 10), 1) << "block 9 was the first to go";
}

/// Room for 10 blocks in HBM; three prompts of 8 blocks and a bit, A, B and A again, one at a time.
Scenario alternating(const char* tiers) {
  Scenario s = fakes::scenario();
  fakes::set(s.system.chips["big"].parameters, "capacity", 5776 + 1024 * 10);
  s.serving.kv_tiers = tiers;
  s.serving.max_batch_tokens = 1000;
  for (const char* tier : {"kv_tiers.host.", "kv_tiers.store."}) {
    fakes::set(s.system.parameters, std::string(tier) + "capacity", 1024 * 100);
    fakes::set(s.system.parameters, std::string(tier) + "bandwidth", 1e9);
    fakes::set(s.system.parameters, std::string(tier) + "latency", 100e-9);
  }
  RequestTrace trace;
  for (std::int64_t i = 0; i < 3; ++i) {
    trace.requests.push_back({ns(100'000 * i), 8 * 16 + 4, 2, {{i % 2, 8 * 16}}});
  }
  s.traffic.arrivals = ArrivalKind::Trace;
  s.traffic.trace = std::make_shared<const RequestTrace>(trace);
  s.traffic.rate = trace.rate();
  s.traffic.requests = 3;
  return s;
}

RunResult serve_tiers(const Scenario& s) {
  RunOptions options;
  options.exact = true;
  return run(s, fakes::catalogue(), fakes::network(), options);
}

TEST(KvTiersService, LoadWhatTheyWouldComputeAgain) {
  // A leaves 8 blocks; B takes 9, so 7 of them are dropped (2 are free). When A comes again one
  // block is here and 7 are below: they arrive 7 x 1024 + 100 ns later, then 4 tokens are
  // computed: 4 x 1040 = 4160 ns. Without tiers 132 - 16 tokens are: 4 x 2160 = 8640.
  const RunResult without = serve_tiers(alternating("none"));
  EXPECT_EQ(without.requests.at(2).cached_tokens, 16);
  EXPECT_NEAR(without.requests[2].ttft_ms, 8640e-6, 1e-12);
  EXPECT_FALSE(without.kv_tiers);
  for (const char* tiers : {"host", "store", "host_and_store"}) {
    const RunResult result = serve_tiers(alternating(tiers));
    EXPECT_EQ(result.requests.at(2).cached_tokens, 128) << tiers;
    EXPECT_NEAR(result.requests[2].ttft_ms, (7268 + 4160) * 1e-6, 1e-12) << tiers;
    const TierUse& used = *(result.kv_tiers->host ? result.kv_tiers->host : result.kv_tiers->store);
    EXPECT_EQ(used.hits, 7) << tiers;
    // B's blocks make room too when A comes again.
    EXPECT_EQ(used.writes, 14) << tiers;
    EXPECT_EQ(result.kv_tiers->block, one_block);
  }
}

TEST(KvTiersService, OfLessThanABlockAreRefused) {
  Scenario s = alternating("host");
  fakes::set(s.system.parameters, "kv_tiers.host.capacity", 1023);
  EXPECT_THROW(static_cast<void>(serve_tiers(s)), ConfigError);
}

TEST(KvTiersService, LoadWhileOthersRun) {
  // A third prompt C of 5 new tokens comes with the second A. A waits for its blocks, C is computed
  // meanwhile: 4 x 1050 = 4200 ns.
  Scenario s = alternating("host");
  RequestTrace trace = *s.traffic.trace;
  trace.requests.push_back({ns(200'000), 5, 1, {}});
  s.traffic.trace = std::make_shared<const RequestTrace>(trace);
  s.traffic.requests = 4;
  const RunResult result = serve_tiers(s);
  EXPECT_NEAR(result.requests.at(3).ttft_ms, 4200e-6, 1e-12);
  EXPECT_NEAR(result.requests.at(2).ttft_ms, (7268 + 4160) * 1e-6, 1e-12);
}

TEST(KvTiersService, OfAStoreBringPrefixesFromOtherReplicas) {
  // Two replicas in turn: A on the first, B on the second, B' on the first, where it drops A into
  // the store, A' on the second.
  Scenario s = alternating("store");
  s.placement.prefill.replicas = 2;
  s.placement.decode = s.placement.prefill;
  s.serving.router = "round_robin";
  RequestTrace trace;
  for (const std::int64_t key : {0, 1, 1, 0}) {
    const auto n = static_cast<std::int64_t>(trace.requests.size());
    trace.requests.push_back({ns(100'000 * n), 8 * 16 + 4, 2, {{key, 8 * 16}}});
  }
  s.traffic.trace = std::make_shared<const RequestTrace>(trace);
  s.traffic.requests = 4;
  const RunResult result = serve_tiers(s);
  // B' on the first replica drops 7 blocks of A, all but its first one. A' on the second finds
  // none at the start, so nothing.
  EXPECT_EQ(result.requests.at(2).cached_tokens, 0);
  EXPECT_EQ(result.requests.at(3).cached_tokens, 0) << "a prefix without its first block";
  EXPECT_EQ(result.kv_tiers->store->hits, 0);
  // With room for 9 blocks, what one request takes, all of A is dropped, and found by the other.
  fakes::set(s.system.chips["big"].parameters, "capacity", 5776 + 1024 * 9);
  const RunResult tight = serve_tiers(s);
  EXPECT_EQ(tight.requests.at(3).cached_tokens, 128);
  EXPECT_EQ(tight.kv_tiers->store->hits, 8);
}

}  // namespace
}  // namespace tandem
