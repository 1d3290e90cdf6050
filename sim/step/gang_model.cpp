#include "sim/step/gang_model.hpp"

#include <algorithm>
#include <memory>
#include <optional>
#include <set>
#include <stdexcept>

#include "sim/core/diagnostics.hpp"
#include "sim/core/hash.hpp"
#include "sim/core/integers.hpp"
#include "sim/step/pool_model.hpp"

namespace tandem {
namespace {

/// Scales that travel with rows in eight bits: a float for every 128 elements.
constexpr std::int64_t scaled_elements = 128;
constexpr std::int64_t scale_bytes = 4;

Collective collective_of(const Exchange& exchange, CollectiveEntry entry) {
  Collective collective;
  collective.op = exchange.op;
  collective.entry = entry;
  collective.type = exchange.type;
  collective.bytes = Bytes(exchange.rows * exchange.width * bytes_of(exchange.type));
  if (exchange.op != CollectiveOp::MoeDispatch && exchange.op != CollectiveOp::MoeCombine) {
    return collective;
  }
  collective.bytes = Bytes(0);
  collective.tokens = exchange.rows;
  collective.hidden = exchange.width;
  collective.top_k = exchange.top_k;
  collective.experts = exchange.experts;
  collective.transport = exchange.transport;
  if (bytes_of(exchange.type) == 1) {
    collective.row_extra = Bytes(ceil_div(exchange.width, scaled_elements) * scale_bytes);
  }
  return collective;
}

/// Ranks that meet in exchanges of one kind, and which of these sets a rank is in.
struct Meetings {
  std::vector<std::vector<std::int64_t>> sets;
  std::vector<std::size_t> set_of;  ///< by rank
};

Meetings meetings_of(RankGroup group, const Sharding& sharding) {
  Meetings meetings;
  meetings.set_of.resize(index_of(sharding.ranks()));
  for (std::int64_t rank = 0; rank < sharding.ranks(); ++rank) {
    const std::vector<std::int64_t> peers = peers_of(group, {sharding, rank});
    if (peers.front() == rank) meetings.sets.push_back(peers);
    meetings.set_of[index_of(rank)] = meetings.set_of[index_of(peers.front())];
    if (peers.front() == rank) meetings.set_of[index_of(rank)] = meetings.sets.size() - 1;
  }
  return meetings;
}

/// What one kind of rank does: its times between exchanges, and these.
struct RankWork {
  StageResult result;
  std::vector<Exchange> exchanges;
};

/// One rank on its way through a pass.
struct RankProgress {
  const RankWork* work = nullptr;
  std::size_t next = 0;    ///< exchange that it waits for
  Picoseconds arrived{0};  ///< there
  std::map<std::string, Picoseconds> spent;
  [[nodiscard]] bool is_through() const { return next == work->exchanges.size(); }
  [[nodiscard]] const Exchange& exchange() const { return work->exchanges[next]; }
  void start() {
    if (!work->exchanges.empty()) arrived = work->result.segments.at(0);
  }
  void leave(Picoseconds end) {
    spent[std::string(exchange().role)] += end - arrived;
    arrived = end + work->result.segments.at(++next);
  }
};

/// Lets ranks meet until all are through.
class Passage {
 public:
  Passage(GangModel& gang, const std::vector<ChipAddress>& chips, const Sharding& sharding)
      : gang_(gang), chips_(chips) {
    for (const RankGroup group : {RankGroup::Attention, RankGroup::Context, RankGroup::Gang}) {
      meetings_.emplace(group, meetings_of(group, sharding));
    }
    meetings_.emplace(RankGroup::Elsewhere, meetings_.at(RankGroup::Gang));
  }

  void run(std::vector<RankProgress>& ranks, GangCost& cost) {
    for (RankProgress& rank : ranks) rank.start();
    bool moves = true;
    while (moves) {
      moves = false;
      for (const auto& [group, meetings] : meetings_) {
        for (std::size_t set = 0; set < meetings.sets.size(); ++set) {
          if (!are_there(group, meetings.sets[set], ranks)) continue;
          meet(group, set, ranks, cost);
          moves = true;
        }
      }
    }
    const bool all = std::all_of(ranks.begin(), ranks.end(),
                                 [](const RankProgress& rank) { return rank.is_through(); });
    if (!all) throw std::logic_error("gang: ranks wait for each other in different exchanges");
  }

 private:
  static bool are_there(RankGroup group, const std::vector<std::int64_t>& set,
                        const std::vector<RankProgress>& ranks) {
    return set.size() > 1 && std::all_of(set.begin(), set.end(), [&](std::int64_t rank) {
             const RankProgress& progress = ranks[index_of(rank)];
             return !progress.is_through() && progress.exchange().group == group;
           });
  }

  void meet(RankGroup group, std::size_t set, std::vector<RankProgress>& ranks, GangCost& cost) {
    const std::vector<std::int64_t>& members = meetings_.at(group).sets[set];
    Exchange exchange = ranks[index_of(members.front())].exchange();
    Picoseconds start{0};
    for (const std::int64_t rank : members) {
      const RankProgress& progress = ranks[index_of(rank)];
      if (progress.exchange().role != exchange.role) {
        throw std::logic_error("gang: ranks meet in different exchanges");
      }
      start = std::max(start, progress.arrived);
      exchange.rows = std::max(exchange.rows, progress.exchange().rows);
    }
    if (group == RankGroup::Elsewhere) {
      cost.legs.push_back(start - left_);
      left_ = start;
      for (const std::int64_t rank : members) ranks[index_of(rank)].leave(start);
      return;
    }
    const CollectiveCost& price = price_of(group, set, exchange);
    for (const std::int64_t rank : members) ranks[index_of(rank)].leave(start + price.time);
    for (const auto& [name, bytes] : price.link_bytes) cost.link_bytes[name] += bytes;
  }

  /// Equal exchanges of a set cost the same: layers repeat.
  const CollectiveCost& price_of(RankGroup group, std::size_t set, const Exchange& exchange) {
    Hasher hash;
    hash.add(group).add(set).add(exchange.op).add(exchange.rows).add(exchange.width);
    hash.add(exchange.type).add(exchange.transport);
    const auto [known, is_new] = prices_.try_emplace(hash.value());
    if (!is_new || exchange.rows == 0) return known->second;
    std::vector<ChipAddress> chips;
    for (const std::int64_t rank : meetings_.at(group).sets[set]) {
      chips.push_back(chips_[index_of(rank)]);
    }
    return known->second = gang_.exchange_cost(chips, exchange);
  }

  GangModel& gang_;
  const std::vector<ChipAddress>& chips_;
  std::map<RankGroup, Meetings> meetings_;
  std::map<std::uint64_t, CollectiveCost> prices_;
  Picoseconds left_{0};  ///< when the ranks last went elsewhere
};

Stage stage_of_rank(const Stage& stage, std::int64_t rank) {
  Stage own = stage;
  own.shard.rank = rank;
  return own;
}

void add_rank(const StageResult& result, GangCost& cost) {
  for (const auto& [name, count] : result.activity) cost.activity[name] += count;
  cost.matrix += result.matrix;
  cost.memory += result.memory;
  cost.kernels += result.kernels;
}

void describe_last(const RankProgress& last, GangCost& cost) {
  cost.exchanges = last.spent;
  Picoseconds exchanged{0};
  for (const auto& [role, time] : last.spent) exchanged += time;
  cost.bottleneck = exchanged * 2 > cost.time ? "exchange" : last.work->result.bottleneck;
}

}  // namespace

std::uint64_t rank_class(const Stage& stage, const Batch& batch) {
  const Shard& shard = stage.shard;
  const bool splits = shard.of.attention_data > 1;
  Hasher hash;
  hash.add(stage_of_rank(stage, 0).key()).add(stage.head_rows()).add(stage.embedding_rows());
  hash.add(key_of(splits ? slices_of_group(batch, shard.group()) : batch));
  hash.add(batch.tokens()).add(batch.sampled() > 0);
  const bool decodes = std::all_of(batch.slices.begin(), batch.slices.end(),
                                   [](const SequenceSlice& slice) { return slice.is_decode(); });
  hash.add(decodes);
  // Shares that do not come out even give earlier ranks one more.
  if (shard.of.context > 1) hash.add(shard.context_rank());
  if (shard.of.sends_rows()) {
    const std::int64_t own = slices_of_group(batch, shard.group()).tokens();
    hash.add(share_of(own, shard.of.group_ranks(), shard.group_rank()).size());
  }
  for (const LayerKind& kind : stage.network.kinds) {
    if (!kind.ffn.experts) continue;
    for (const std::int64_t rows : held_expert_rows(batch.tokens(), *kind.ffn.experts, shard)) {
      hash.add(rows);
    }
  }
  return hash.value();
}

Batch dealt_to_groups(const Batch& batch, std::int64_t groups) {
  Batch dealt = batch;
  if (groups < 2) return dealt;
  const auto tokens_behind = [](const SequenceSlice& slice) {
    return slice.context + slice.new_tokens;
  };
  std::stable_sort(dealt.slices.begin(), dealt.slices.end(),
                   [&](const SequenceSlice& a, const SequenceSlice& b) {
                     return std::pair(a.new_tokens, tokens_behind(a)) >
                            std::pair(b.new_tokens, tokens_behind(b));
                   });
  struct Load {
    std::int64_t requests = 0, fresh = 0, tokens = 0;
    auto operator<=>(const Load&) const = default;
  };
  std::vector<Load> loads(index_of(groups));
  for (SequenceSlice& slice : dealt.slices) {
    // Work goes by new tokens first; where these are equal, by requests, then by cached tokens.
    const auto least =
        std::min_element(loads.begin(), loads.end(), [](const Load& a, const Load& b) {
          return std::tuple(a.fresh, a.requests, a.tokens) <
                 std::tuple(b.fresh, b.requests, b.tokens);
        });
    slice.group = least - loads.begin();
    ++least->requests;
    least->fresh += slice.new_tokens;
    least->tokens += tokens_behind(slice);
  }
  return dealt;
}

CollectiveCost GangModel::exchange_cost(const std::vector<ChipAddress>& chips,
                                        const Exchange& exchange) {
  const auto by = [&](CollectiveEntry entry) {
    return collectives_.cost(chips, collective_of(exchange, entry));
  };
  switch (exchange.op) {
    case CollectiveOp::AllReduce: {
      const CollectiveCost own = by(CollectiveEntry::InGraph);
      const CollectiveCost library = by(CollectiveEntry::Library);
      return own.time <= library.time ? own : library;
    }
    case CollectiveOp::MoeDispatch:
    case CollectiveOp::MoeCombine:
      return by(CollectiveEntry::InGraph);
    default:
      return by(CollectiveEntry::Library);
  }
}

GangCost GangModel::cost(const Stage& stage, const std::vector<ChipAddress>& chips,
                         const Batch& batch, RankPolicy policy) {
  const Sharding& sharding = stage.shard.of;
  GangCost cost;
  std::map<std::uint64_t, std::unique_ptr<RankWork>> works;
  std::vector<RankProgress> ranks(index_of(sharding.ranks()));
  for (std::int64_t rank = 0; rank < sharding.ranks(); ++rank) {
    const Stage own = stage_of_rank(stage, rank);
    const std::uint64_t kind = rank_class(own, batch);
    const bool all = policy == RankPolicy::All;
    std::unique_ptr<RankWork>& work = works[all ? Hasher().add(kind).add(rank).value() : kind];
    if (work == nullptr) {
      work = std::make_unique<RankWork>();
      ++cost.simulated_ranks;
      const std::uint64_t key = Hasher().add(chip_key_).add(kind).value();
      const StageResult* known = all ? nullptr : store_.find(key);
      if (known == nullptr) {
        StageResult result = summary_of(chip_.simulate(own, batch));
        work->result = all ? std::move(result) : store_.put(key, std::move(result));
      } else {
        work->result = *known;
      }
      work->exchanges = lower(own, batch).exchanges;
    }
    ranks[index_of(rank)].work = work.get();
    add_rank(work->result, cost);
  }
  Passage(*this, chips, sharding).run(ranks, cost);
  const auto last = std::max_element(
      ranks.begin(), ranks.end(),
      [](const RankProgress& a, const RankProgress& b) { return a.arrived < b.arrived; });
  cost.time = last->work->exchanges.empty() ? last->work->result.time : last->arrived;
  if (!cost.legs.empty()) {
    Picoseconds gone{0};
    for (const Picoseconds leg : cost.legs) gone += leg;
    cost.legs.push_back(cost.time - gone);
  }
  describe_last(*last, cost);
  return cost;
}

Picoseconds GangModel::floor(const Stage& stage, const std::vector<ChipAddress>& chips,
                             const Batch& batch) {
  const Sharding& sharding = stage.shard.of;
  std::set<std::uint64_t> known;
  Picoseconds slowest{0};
  for (std::int64_t rank = 0; rank < sharding.ranks(); ++rank) {
    const Stage own = stage_of_rank(stage, rank);
    if (!known.insert(rank_class(own, batch)).second) continue;
    Picoseconds floor = chip_.floor(own, batch);
    for (const Exchange& exchange : lower(own, batch).exchanges) {
      if (exchange.rows == 0 || exchange.group == RankGroup::Elsewhere) continue;
      std::vector<ChipAddress> peers;
      for (const std::int64_t peer : peers_of(exchange.group, own.shard)) {
        peers.push_back(chips[index_of(peer)]);
      }
      floor += exchange_cost(peers, exchange).floor;
    }
    slowest = std::max(slowest, floor);
  }
  return slowest;
}

}  // namespace tandem
