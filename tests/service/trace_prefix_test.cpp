// Do the prefix caches of a replica find what a count of its own says, on a recorded trace? The
// count keeps single blocks in a plain least-recently-used list; the replica keeps parts of
// prompts.
#include <gtest/gtest.h>

#include <filesystem>
#include <list>
#include <map>

#include "sim/config/request_trace.hpp"
#include "sim/service/service.hpp"
#include "tests/step/fakes.hpp"
#include "tests/support/test_data.hpp"

namespace tandem {
namespace {

constexpr std::int64_t block_tokens = 16;
constexpr std::int64_t part_tokens = 512;

/// Blocks by the id of what they hold, those left longest ago first.
class BlockList {
 public:
  explicit BlockList(std::int64_t room) : room_(room) {}

  /// Prompt tokens of the request that were there.
  std::int64_t serve(const TracedRequest& request) {
    const std::int64_t held =
        (request.prompt + request.output - 1 + block_tokens - 1) / block_tokens;
    std::vector<std::int64_t> ids = ids_of(request);
    const std::int64_t most =
        std::min<std::int64_t>(ids.size(), (request.prompt - 1) / block_tokens);
    std::int64_t found = 0;
    while (found < most && places_.contains(ids[static_cast<std::size_t>(found)])) ++found;
    // Blocks that are taken up again need no room; behind the first one missing nothing is found,
    // but what is there is not made twice.
    for (const std::int64_t id : ids) take(id);
    const std::int64_t kept = static_cast<std::int64_t>(order_.size());
    for (std::int64_t lacking = kept + held - room_; lacking > 0; --lacking) take(order_.front());
    leave(request, std::move(ids));
    return found * block_tokens;
  }

 private:
  [[nodiscard]] std::vector<std::int64_t> ids_of(const TracedRequest& request) const {
    std::vector<std::int64_t> ids;
    constexpr std::int64_t per_part = part_tokens / block_tokens;
    for (std::int64_t block = 0; (block + 1) * block_tokens <= request.prompt; ++block) {
      const auto part = static_cast<std::size_t>(block / per_part);
      if (part >= request.shared.size()) break;
      ids.push_back(request.shared[part].key * per_part + block % per_part);
    }
    return ids;
  }

  void take(std::int64_t id) {
    const auto found = places_.find(id);
    if (found == places_.end()) return;
    order_.erase(found->second);
    places_.erase(found);
  }

  // From the last block to the first; full blocks of the answer are found by nobody.
  void leave(const TracedRequest& request, std::vector<std::int64_t> ids) {
    const std::int64_t computed = request.prompt + request.output - 1;
    while (static_cast<std::int64_t>(ids.size()) < computed / block_tokens)
      ids.push_back(--unique_);
    for (auto id = ids.rbegin(); id != ids.rend(); ++id) {
      order_.push_back(*id);
      places_[*id] = std::prev(order_.end());
    }
  }

  std::int64_t room_;
  std::int64_t unique_ = -1;
  std::list<std::int64_t> order_;
  std::map<std::int64_t, std::list<std::int64_t>::iterator> places_;
};

RequestTrace mooncake() {
  const auto path = test::measured_data() / "traces/mooncake_conversation_first_third.jsonl";
  if (!std::filesystem::is_regular_file(path)) return {};
  config::Problems problems;
  RequestTrace trace =
      config::read_trace(path.string(), config::trace_columns_of("mooncake"), {}, problems);
  problems.throw_if_any();
  trace.requests.resize(1500);
  for (TracedRequest& request : trace.requests)
    request.output = std::min<std::int64_t>(request.output, 40);
  return trace;
}

std::int64_t found_by_a_replica(const RequestTrace& trace, std::int64_t blocks) {
  Scenario s = fakes::scenario();
  // A token takes 64 B, the weights 5776 B.
  fakes::set(s.system.chips["big"].parameters, "capacity",
             static_cast<double>(5776 + 64 * block_tokens * blocks));
  s.serving.max_batch_tokens = 1'000'000;
  s.traffic.concurrency = 1;
  s.traffic.trace = std::make_shared<const RequestTrace>(trace);
  s.traffic.requests = static_cast<std::int64_t>(trace.requests.size());
  RunOptions options;
  options.fidelity = Fidelity::Analytical;
  std::int64_t found = 0;
  for (const RequestRecord& record :
       run(s, fakes::catalogue(), fakes::network(), options).requests) {
    found += record.cached_tokens;
  }
  return found;
}

TEST(TracePrefixes, AreFoundAsAPlainListOfBlocksSays) {
  const RequestTrace trace = mooncake();
  if (trace.requests.empty())
    GTEST_SKIP() << "traces are not in TANDEM_DATA: nothing to compare to";
  std::int64_t before = -1;
  for (const std::int64_t blocks : {10'000, 40'000, 200'000, 10'000'000}) {
    BlockList list(blocks);
    std::int64_t expected = 0;
    for (const TracedRequest& request : trace.requests) expected += list.serve(request);
    EXPECT_EQ(found_by_a_replica(trace, blocks), expected) << blocks;
    EXPECT_GT(expected, before) << "more room finds more";
    before = expected;
  }
}

struct Served {
  double ttft_ms = 0;   ///< mean
  double hit_rate = 0;  ///< prompt tokens that were cached
};

/// Four replicas of `blocks` blocks each, at two thirds of what they can do without any cache.
Served served_by(const char* router, const RequestTrace& trace, std::int64_t blocks) {
  Scenario s = fakes::scenario();
  s.placement.prefill.replicas = 4;
  s.placement.decode = s.placement.prefill;
  fakes::set(s.system.chips["big"].parameters, "capacity",
             static_cast<double>(5776 + 64 * block_tokens * blocks));
  s.serving.max_batch_tokens = 8192;
  s.serving.router = router;
  s.traffic.arrivals = ArrivalKind::Trace;
  s.traffic.trace = std::make_shared<const RequestTrace>(trace);
  s.traffic.requests = static_cast<std::int64_t>(trace.requests.size());
  // A prompt of n tokens takes 40 n ns on one of four.
  const double seconds_each = 40e-9 * static_cast<double>(trace.mean_prompt());
  s.traffic.rate = 4.0 / seconds_each * 2 / 3;
  RunOptions options;
  const RunResult result = run(s, fakes::catalogue(), fakes::network(), options);
  Served served;
  double prompts = 0;
  for (const RequestRecord& record : result.requests) {
    served.ttft_ms += record.ttft_ms / static_cast<double>(result.requests.size());
    served.hit_rate += static_cast<double>(record.cached_tokens);
    prompts += static_cast<double>(record.prompt);
  }
  served.hit_rate /= prompts;
  return served;
}

TEST(TracePrefixes, AreFoundMoreOftenAndAnsweredSoonerWhereRequestsFollowThem) {
  const RequestTrace trace = mooncake();
  if (trace.requests.empty())
    GTEST_SKIP() << "traces are not in TANDEM_DATA: nothing to compare to";
  for (const std::int64_t blocks : {40'000, 400'000}) {
    const Served in_turn = served_by("round_robin", trace, blocks);
    const Served by_load = served_by("least_loaded", trace, blocks);
    const Served by_cache = served_by("kv_overlap", trace, blocks);
    EXPECT_GT(by_cache.hit_rate, in_turn.hit_rate) << blocks;
    EXPECT_LT(by_cache.ttft_ms, 0.9 * in_turn.ttft_ms) << blocks;
    EXPECT_LT(by_cache.ttft_ms, 0.9 * by_load.ttft_ms) << blocks;
  }
}

}  // namespace
}  // namespace tandem
