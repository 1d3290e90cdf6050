// Pools for prompts and for tokens: unequal numbers of replicas, prompts that stay where they
// decode, and prefixes that do not cross again. Costs are those of the fake chips: prompts of n
// tokens take 4 x (1000 + 10 n) ns, KV of a token 64 B and 64 ns on the wire.
#include <gtest/gtest.h>

#include <map>

#include "sim/service/service.hpp"
#include "tests/step/fakes.hpp"

namespace tandem {
namespace {

/// One chip for prompts, `decoders` for tokens, of one group.
Scenario pools_of_gpus(std::int64_t decoders) {
  Scenario s = fakes::scenario();
  s.placement.mode = PlacementMode::Disaggregated;
  s.placement.decode.replicas = decoders;
  s.serving.max_batch_tokens = 1000;
  return s;
}

/// Requests with these prompts, 100 us apart; all blocks of prompts with one key are shared.
Scenario with_prompts(Scenario s, const std::vector<std::pair<std::int64_t, std::int64_t>>& keyed,
                      std::int64_t gap_ns = 100'000) {
  RequestTrace trace;
  for (const auto& [key, prompt] : keyed) {
    const auto n = static_cast<std::int64_t>(trace.requests.size());
    trace.requests.push_back({Picoseconds(1000 * gap_ns * n), prompt, 4, {{key, prompt}}});
  }
  s.traffic.arrivals = ArrivalKind::Trace;
  s.traffic.trace = std::make_shared<const RequestTrace>(trace);
  s.traffic.rate = trace.rate();
  s.traffic.requests = static_cast<std::int64_t>(trace.requests.size());
  return s;
}

RunResult serve_pools(const Scenario& s) {
  RunOptions options;
  options.exact = true;
  return run(s, fakes::catalogue(), fakes::network(), options);
}

TEST(Pools, OfOneForPromptsAndThreeForTokensShareTheWork) {
  // Three requests at once: prompts of 32 tokens in one pass of 4 x (1000 + 960) = 7840 ns; their
  // KV crosses one behind the other, 2048 ns each, and each decodes by itself: 3 x 4040 ns.
  Scenario s = pools_of_gpus(3);
  s.traffic.requests = 3;
  s.traffic.concurrency = 3;
  const RunResult result = serve_pools(s);
  std::vector<double> ends;
  for (const RequestRecord& record : result.requests) {
    EXPECT_NEAR(record.ttft_ms, 7840e-6, 1e-12);
    ends.push_back(record.e2e_ms);
  }
  std::sort(ends.begin(), ends.end());
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_NEAR(ends[i], (7840 + 2048 * (static_cast<double>(i) + 1) + 100 + 12120) * 1e-6, 1e-12);
  }
  EXPECT_EQ(result.pools.at(1).chips, 3);
  ASSERT_TRUE(result.prompt_routes);
  EXPECT_EQ(result.prompt_routes->remote, 3);
  EXPECT_EQ(result.prompt_routes->tokens_sent, 96);
  // One decoder takes them in steps together, 4 x 1010 to 4 x 1030 ns: later.
  s.placement.decode.replicas = 1;
  EXPECT_GT(serve_pools(s).requests.at(2).e2e_ms, ends.back());
}

TEST(Pools, SendNoPrefixThatTheDecodeReplicaHas) {
  // 128 tokens, of which the second request has 96 in common: they are cached where the first one
  // decoded, so 32 tokens cross: 2048 ns instead of 8192.
  const RunResult result = serve_pools(with_prompts(pools_of_gpus(1), {{1, 96}, {1, 128}}));
  EXPECT_EQ(result.prompt_routes->tokens_sent, 96 + 32);
  EXPECT_EQ(result.prompt_routes->tokens_kept, 96);
  EXPECT_EQ(result.links.at("wire").bytes.count(), 128 * 64);
  // 32 tokens to compute: 4 x 1320 = 5280; crossing, 3 x 4040.
  EXPECT_NEAR(result.requests.at(1).ttft_ms, 5280e-6, 1e-12);
  EXPECT_NEAR(result.requests.at(1).e2e_ms, (5280 + 2048 + 100 + 12120) * 1e-6, 1e-12);
}

TEST(Pools, SendNoPrefixByLayersEither) {
  // The prompt pool finds 96 tokens in its cache: the decode replica has them too. Of the first
  // request all of them cross.
  Scenario s = with_prompts(pools_of_gpus(1), {{1, 96}, {1, 128}});
  s.placement.kv_transfer = KvTransferKind::Layers;
  const RunResult result = serve_pools(s);
  EXPECT_EQ(result.links.at("wire").bytes.count(), 128 * 64);
  EXPECT_EQ(result.prompt_routes->tokens_kept, 96);
  // On another decode replica nothing is there: what was found in the prompts' cache crosses too.
  s.placement.decode.replicas = 2;
  s.serving.router = "round_robin";
  EXPECT_EQ(serve_pools(s).links.at("wire").bytes.count(), (96 + 128) * 64);
}

TEST(Pools, KeepShortPromptsWhereTheyDecode) {
  // At most 40 tokens to compute stay. A prompt of 96 goes over; of the 128 that begin with it the
  // decode replica lacks 32 (4 x 1320 ns, nothing crosses); of 160 of another kind all.
  Scenario s = with_prompts(pools_of_gpus(1), {{1, 96}, {1, 128}, {2, 160}, {3, 40}});
  s.serving.local_prefill_tokens = 40;
  const RunResult result = serve_pools(s);
  EXPECT_EQ(result.prompt_routes->remote, 2);
  EXPECT_EQ(result.prompt_routes->local, 2);
  EXPECT_EQ(result.links.at("wire").bytes.count(), (96 + 160) * 64);
  EXPECT_NEAR(result.requests.at(1).ttft_ms, 5280e-6, 1e-12);
  EXPECT_NEAR(result.requests.at(1).e2e_ms, (5280 + 12120) * 1e-6, 1e-12);
  EXPECT_EQ(result.requests.at(1).cached_tokens, 96);
}

TEST(Pools, KeepPromptsWhileOthersWaitForTheirPool) {
  // Prompts of 100 tokens take 8000 ns, one per step. They come every 1000 ns: the first one runs,
  // two wait, and from then on all stay until fewer wait.
  Scenario s =
      with_prompts(pools_of_gpus(2), {{1, 100}, {2, 100}, {3, 100}, {4, 100}, {5, 100}}, 1000);
  s.serving.max_batch_tokens = 100;
  s.serving.local_prefill_tokens = 40;
  s.serving.prefill_queue = 2;
  const RunResult result = serve_pools(s);
  EXPECT_EQ(result.prompt_routes->remote, 3);
  EXPECT_EQ(result.prompt_routes->local, 2);
  // Request 3 comes at 3000 and is computed at once on an idle replica.
  EXPECT_NEAR(result.requests.at(3).ttft_ms, 8000e-6, 1e-12);
  s.serving.prefill_queue = 4;
  EXPECT_EQ(serve_pools(s).prompt_routes->local, 0);
}

}  // namespace
}  // namespace tandem
