// What holds for every schedule, over random traffic: tokens are computed once, or taken from
// blocks that somebody computed; blocks are never more than the room and none is left; everybody is
// served. The books are kept here from steps alone.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <deque>
#include <map>
#include <set>

#include "sim/core/random.hpp"
#include "sim/service/batch_scheduler.hpp"
#include "sim/service/kv_tiers.hpp"
#include "tests/support/property.hpp"

namespace tandem {
namespace {

constexpr std::int64_t page = 4;      ///< tokens of a block
constexpr int sets_of_rules = 10;     ///< below
constexpr std::int64_t longest = 80;  ///< tokens of a request, prompt and answer

std::int64_t blocks_of(std::int64_t tokens) {
  return (tokens + page - 1) / page;
}

/// Where a request's KV stands, by the steps that it was part of.
class Account {
 public:
  Account(const Request& request, bool comes_with_kv)
      : comes_with_kv_(comes_with_kv), shared_(request.shared) {}

  /// The shared block at `index` of the request's table, where it is one.
  [[nodiscard]] std::optional<std::pair<std::int64_t, std::int64_t>> shared_block(
      std::int64_t index) const {
    std::int64_t begin = 0;
    for (const SharedPart& part : shared_) {
      const std::int64_t end = part.end / page;
      if (index >= begin && index < end) return std::pair(part.key, index);
      begin = std::max(begin, end);
    }
    return std::nullopt;
  }

  bool comes_with_kv_;
  std::vector<SharedPart> shared_;  ///< as it came: preempted requests add a part of their own
  std::int64_t here = 0;            ///< tokens whose KV it holds
  std::int64_t most_here = 0;
  std::int64_t computed = 0;
  std::int64_t reused = 0;
  std::int64_t lost = 0;
  bool has_begun = false;
};

/// Reads steps, and complains about what cannot be.
class Books {
 public:
  Books(std::int64_t room, const Serving& serving) : room_(room), serving_(serving) {}

  void open(const Request& request, bool comes_with_kv) {
    accounts_.emplace(request.id, Account(request, comes_with_kv));
  }

  void read(const ScheduledStep& step) {
    for (const Request* request : step.preempted) lose(accounts_.at(request->id));
    for (const Request* request : step.reserved) {
      Account& account = accounts_.at(request->id);
      account.here = account.most_here = request->prompt;
      account.reused = request->prompt;  // computed elsewhere
      account.has_begun = true;
      note_blocks(account);
    }
    for (const BlockLoad& load : step.loads) begin(accounts_.at(load.request->id), load.to * page);
    std::int64_t tokens = 0;
    for (const SequenceSlice& slice : step.batch.slices) {
      Account& account = accounts_.at(slice.request);
      compute(account, slice);
      note_blocks(account);  // those behind it in the step may find them
      tokens += slice.new_tokens;
    }
    EXPECT_LE(tokens, serving_.max_batch_tokens);
    EXPECT_LE(static_cast<std::int64_t>(step.batch.slices.size()), serving_.max_sequences);
  }

  /// Blocks that running requests need at least: those that they share count once.
  [[nodiscard]] std::int64_t blocks() const {
    std::set<std::pair<std::int64_t, std::int64_t>> shared;
    std::int64_t own = 0;
    for (const auto& [id, account] : accounts_) {
      for (std::int64_t i = 0; i < blocks_of(account.here); ++i) {
        if (const auto block = account.shared_block(i)) {
          shared.insert(*block);
        } else {
          ++own;
        }
      }
    }
    return own + static_cast<std::int64_t>(shared.size());
  }

  void check(const KvBlocks& kv) const {
    EXPECT_LE(kv.used(), room_);
    EXPECT_EQ(kv.used() + kv.free(), room_);
    EXPECT_GE(kv.used(), blocks());
  }

  void close(const Request& request) {
    Account& account = accounts_.at(request.id);
    const std::int64_t all = request.prompt + request.output - 1;
    EXPECT_EQ(account.here, all) << "the last token needs no KV, all others do";
    EXPECT_EQ(account.computed + account.reused, all + account.lost);
    if (request.preemptions == 0) {
      EXPECT_EQ(account.lost, 0);
      EXPECT_EQ(account.reused, account.comes_with_kv_ ? request.prompt : request.cached_tokens);
    }
    account.here = 0;
    ++closed_;
  }
  [[nodiscard]] std::int64_t closed() const { return closed_; }
  [[nodiscard]] std::int64_t reused() const { return reused_; }
  [[nodiscard]] std::int64_t lost() const { return lost_; }

 private:
  void lose(Account& account) {
    account.lost += account.here;
    lost_ += account.here;
    account.here = 0;
    account.has_begun = false;
  }

  void compute(Account& account, const SequenceSlice& slice) {
    if (!account.has_begun) begin(account, slice.context);
    EXPECT_EQ(slice.context, account.here) << "request " << slice.request;
    account.here += slice.new_tokens;
    account.computed += slice.new_tokens;
    account.most_here = std::max(account.most_here, account.here);
  }

  /// Behind whole blocks that it, or others with the same prompt, had computed.
  void begin(Account& account, std::int64_t context) {
    EXPECT_EQ(context % page, 0);
    for (std::int64_t i = 0; i < context / page; ++i) {
      const auto block = account.shared_block(i);
      const bool is_own = (i + 1) * page <= account.most_here;
      EXPECT_TRUE(is_own || (block && computed_.contains(*block)))
          << "block " << i << " is nobody's";
    }
    account.here = context;
    account.reused += context;
    reused_ += context;
    account.has_begun = true;
  }

  void note_blocks(const Account& account) {
    for (std::int64_t i = 0; i < account.here / page; ++i) {
      if (const auto block = account.shared_block(i)) computed_.insert(*block);
    }
  }

  std::int64_t room_;
  Serving serving_;
  std::map<std::int64_t, Account> accounts_;
  std::set<std::pair<std::int64_t, std::int64_t>> computed_;  ///< shared blocks, ever
  std::int64_t closed_ = 0;
  std::int64_t reused_ = 0;
  std::int64_t lost_ = 0;
};

/// Requests in random steps: some begin with one of three prefixes, some come with their KV.
class RandomPlay {
 public:
  RandomPlay(const Serving& serving, std::uint64_t seed, bool has_pools, bool has_below)
      : random_(seed, "conservation"),
        room_(random_.integer(blocks_of(longest) + 2, 3 * blocks_of(longest))),
        has_prefixes_(serving.prefix_cache),
        has_pools_(has_pools),
        scheduler_(make_scheduler(serving, room_)),
        books_(room_, serving) {
    if (!has_below) return;
    const TierRules small{.capacity = room_, .bandwidth = 1, .latency = Picoseconds(0)};
    below_.emplace(small, nullptr, Bytes(1), page);
    scheduler_->use_below(*below_);
  }

  void run(std::int64_t requests) {
    std::int64_t steps = 0;
    while (books_.closed() < requests) {
      for (Request* request : inbound_) scheduler_->arrive(*request);
      inbound_.clear();
      end_loads();
      while (std::ssize(requests_) < requests && random_.uniform() < 0.4) add_one();
      one_step();
      ASSERT_LT(++steps, 200 * requests) << "somebody is never served";
    }
    EXPECT_EQ(scheduler_->kv().used(), 0) << "blocks are left behind";
    EXPECT_EQ(scheduler_->kv().free(), room_);
  }
  [[nodiscard]] const Books& books() const { return books_; }
  [[nodiscard]] std::int64_t loaded() const { return below_ ? below_->host_use().hits : 0; }

 private:
  void add_one() {
    Request request;
    request.id = std::ssize(requests_);
    request.arrival = Picoseconds(request.id);
    request.prompt = random_.integer(1, 60);
    request.output = random_.integer(1, longest - 60);
    request.priority = random_.integer(0, 2);
    std::int64_t end = 0;
    const std::int64_t family = random_.integer(1, 3);
    const std::int64_t levels = has_prefixes_ ? 3 : 0;
    for (std::int64_t level = 0; level < levels && random_.uniform() < 0.6; ++level) {
      end = std::min(end + 16, request.prompt);
      request.shared.push_back({family * 10 + level, end});
      if (end == request.prompt) break;
    }
    const bool with_kv = has_pools_ && request.output > 1 && random_.uniform() < 0.3;
    if (with_kv) request.generated = 1;
    requests_.push_back(request);
    books_.open(requests_.back(), with_kv);
    scheduler_->add(requests_.back(), with_kv);
  }

  void one_step() {
    ScheduledStep step = scheduler_->schedule();
    books_.read(step);
    books_.check(scheduler_->kv());
    inbound_ = step.reserved;
    begin_loads(step);
    for (std::size_t i = 0; i < step.sequences.size(); ++i) {
      Request& request = *step.sequences[i]->request;
      if (!BatchScheduler::complete(*step.sequences[i], step.batch.slices[i])) continue;
      ++request.generated;
      EXPECT_LE(request.generated, request.output);
      if (!request.is_done()) continue;
      scheduler_->finish(request);
      books_.close(request);
    }
  }

  /// Each takes a random number of steps.
  void begin_loads(const ScheduledStep& step) {
    for (const BlockLoad& load : step.loads) {
      static_cast<void>(below_->load(*load.request, load.from, load.to, Picoseconds(0)));
      loading_.push_back({load.request, random_.integer(0, 3)});
    }
    if (below_) below_->write_down(step.dropped, Picoseconds(0));
  }
  void end_loads() {
    std::erase_if(loading_, [&](auto& load) {
      if (load.second-- > 0) return false;
      scheduler_->loaded(*load.first);
      return true;
    });
  }

  RandomStream random_;
  std::int64_t room_;
  bool has_prefixes_;
  bool has_pools_;
  std::unique_ptr<BatchScheduler> scheduler_;
  Books books_;
  std::deque<Request> requests_;
  std::vector<Request*> inbound_;
  std::optional<KvTiers> below_;
  std::vector<std::pair<Request*, std::int64_t>> loading_;  ///< with the steps to go
};

struct Rules {
  const char* name;
  const char* policy;
  const char* order;
  bool prefix_cache;
  bool chunked;
  std::int64_t tokens;  ///< of a step
  bool below = false;   ///< blocks that are dropped go below HBM
};

class Conservation : public testing::TestWithParam<Rules> {};

TEST_P(Conservation, OfTokensAndBlocksAndEverybodyIsServed) {
  const Rules& rules = GetParam();
  Serving serving;
  serving.policy = rules.policy;
  serving.order = rules.order;
  serving.prefix_cache = rules.prefix_cache;
  serving.chunked_prefill = rules.chunked;
  serving.max_batch_tokens = rules.tokens;
  serving.max_sequences = 8;
  serving.kv_block_tokens = page;
  const auto plays = static_cast<std::uint64_t>(test::property_cases(2000) / sets_of_rules);
  std::int64_t reused = 0, lost = 0, loaded = 0;
  for (std::uint64_t seed = 1; seed <= plays; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    RandomPlay play(serving, seed, serving.policy != "static", rules.below);
    play.run(60);
    reused += play.books().reused();
    lost += play.books().lost();
    loaded += play.loaded();
    if (HasFailure()) return;
  }
  EXPECT_EQ(reused > 0, rules.prefix_cache) << "the traffic must find prefixes";
  EXPECT_EQ(loaded > 0, rules.below);
  EXPECT_EQ(lost > 0, serving.policy != "static") << "the traffic must run out of room";
}

INSTANTIATE_TEST_SUITE_P(
    Schedulers, Conservation,
    testing::Values(Rules{"vllm", "vllm_v1", "fcfs", true, true, 32},
                    Rules{"vllm_uncached", "vllm_v1", "fcfs", false, true, 32},
                    Rules{"vllm_whole_prompts", "vllm_v1", "fcfs", true, false, 64},
                    Rules{"vllm_by_priority", "vllm_v1", "priority", true, true, 32},
                    Rules{"vllm_with_memory_below", "vllm_v1", "fcfs", true, true, 32, true},
                    Rules{"vllm_by_priority_with_memory_below", "vllm_v1", "priority", true, true,
                          32, true},
                    Rules{"sglang", "sglang", "fcfs", true, true, 32},
                    Rules{"sglang_longest_prefix", "sglang", "longest_prefix", true, true, 32},
                    Rules{"sglang_uncached", "sglang", "fcfs", false, true, 32},
                    Rules{"static", "static", "fcfs", true, true, 64}),
    [](const auto& rules) { return std::string(rules.param.name); });

}  // namespace
}  // namespace tandem
