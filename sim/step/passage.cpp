#include "sim/step/passage.hpp"

#include <algorithm>
#include <cmath>
#include <set>
#include <stdexcept>
#include <tuple>

#include "sim/core/hash.hpp"
#include "sim/core/integers.hpp"

namespace tandem {
namespace {

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

/// bytes x part / whole, rounded.
std::int64_t scaled(std::int64_t bytes, std::int64_t part, std::int64_t whole) {
  return std::llround(static_cast<double>(bytes) * static_cast<double>(part) /
                      static_cast<double>(whole));
}

/// Exchanges of one set that differ in no more than their place.
bool cost_alike(const Exchange& a, const Exchange& b) {
  Exchange there = a;
  there.role = b.role;
  there.layer = b.layer;
  there.after = b.after;
  there.adds_residual = b.adds_residual;
  return there == b;
}

/// One rank on its way through a pass with one micro-batch.
struct Progress {
  const RankWork* work = nullptr;
  std::size_t next = 0;    ///< exchange that it goes to, or waits in
  Picoseconds arrived{0};  ///< there
  bool waits = false;
  std::map<std::string, Picoseconds> spent;
  [[nodiscard]] bool is_last_segment() const { return next == work->exchanges.size(); }
  [[nodiscard]] const Exchange& exchange() const { return work->exchanges[next]; }
  [[nodiscard]] Picoseconds segment() const {
    return work->exchanges.empty() ? work->result.time : work->result.segments.at(next);
  }
};

/// A rank that is ready to compute on, or has just done so.
struct Event {
  Picoseconds time;
  bool computed = false;
  std::size_t micro_batch = 0, rank = 0;
  bool operator<(const Event& other) const {
    return std::tie(time, computed, micro_batch, rank) <
           std::tie(other.time, other.computed, other.micro_batch, other.rank);
  }
};

class Walk {
 public:
  Walk(const std::vector<std::vector<const RankWork*>>& work, const Sharding& sharding,
       const ExchangePrice& price, PassTrace* trace)
      : price_(price), trace_(trace), compute_free_(index_of(sharding.ranks()), Picoseconds(0)) {
    for (const RankGroup group : {RankGroup::Attention, RankGroup::Context, RankGroup::Gang}) {
      meetings_.emplace(group, meetings_of(group, sharding));
    }
    // Ranks go elsewhere and come back together.
    meetings_.emplace(RankGroup::Elsewhere, meetings_.at(RankGroup::Gang));
    for (std::size_t m = 0; m < work.size(); ++m) {
      progress_.emplace_back();
      for (std::size_t r = 0; r < work[m].size(); ++r) {
        progress_.back().push_back({});
        progress_.back().back().work = work[m][r];
        events_.insert({Picoseconds(0), false, m, r});
      }
    }
  }

  Passage run() {
    if (goes_in_step()) return walk_in_step();
    while (!events_.empty()) {
      const Event event = *events_.begin();
      events_.erase(events_.begin());
      event.computed ? arrive(event) : compute(event);
    }
    for (const auto& ranks : progress_) {
      for (const Progress& rank : ranks) {
        if (rank.waits) throw std::logic_error("gang: ranks wait in different exchanges");
      }
    }
    if (!passage_.legs.empty()) passage_.legs.push_back(passage_.time - left_);
    return std::move(passage_);
  }

 private:
  /// All ranks do the same and all meet in every exchange, so one stands for them.
  [[nodiscard]] bool goes_in_step() const {
    if (trace_ != nullptr || progress_.size() != 1) return false;
    const std::vector<Progress>& ranks = progress_.front();
    const RankWork* work = ranks.front().work;
    return std::ranges::all_of(ranks, [&](const Progress& rank) { return rank.work == work; }) &&
           std::ranges::all_of(work->exchanges, [&](const Exchange& exchange) {
             return meetings_.at(exchange.group).sets.size() == 1;
           });
  }

  Passage walk_in_step() {
    Progress& rank = progress_.front().front();
    std::map<const CollectiveCost*, std::int64_t> times;
    std::map<std::string_view, Picoseconds> spent;
    const Exchange* before = nullptr;
    const CollectiveCost* cost = nullptr;
    Picoseconds now{0};
    for (; !rank.is_last_segment(); ++rank.next) {
      now += rank.segment();
      const Exchange& exchange = rank.exchange();
      if (exchange.group == RankGroup::Elsewhere) {
        passage_.legs.push_back(now - left_);
        left_ = now;
        spent[exchange.role] += Picoseconds(0);
        continue;
      }
      if (before == nullptr || !cost_alike(exchange, *before)) {
        cost = &price_of(exchange.group, 0, exchange);
        before = &exchange;
      }
      ++times[cost];
      spent[exchange.role] += cost->time;
      now += cost->time;
    }
    passage_.time = now + rank.segment();
    if (!passage_.legs.empty()) passage_.legs.push_back(passage_.time - left_);
    for (const auto& [one, count] : times) {
      for (const auto& [name, bytes] : one->link_bytes) passage_.link_bytes[name] += bytes * count;
    }
    passage_.last = {0, progress_.front().size() - 1, {}};
    for (const auto& [role, time] : spent) passage_.last.exchanges[std::string(role)] = time;
    return std::move(passage_);
  }

  void compute(const Event& ready) {
    Picoseconds& free = compute_free_[ready.rank];
    const Picoseconds start = std::max(ready.time, free);
    free = start + progress_[ready.micro_batch][ready.rank].segment();
    record(ready.micro_batch, ready.rank, "kernels", start, free);
    events_.insert({free, true, ready.micro_batch, ready.rank});
  }

  void arrive(const Event& event) {
    Progress& rank = progress_[event.micro_batch][event.rank];
    if (rank.is_last_segment()) {
      if (event.time >= passage_.time) {
        passage_.time = event.time;
        passage_.last = {event.micro_batch, event.rank, rank.spent};
      }
      return;
    }
    rank.arrived = event.time;
    rank.waits = true;
    const RankGroup group = rank.exchange().group;
    const Meetings& meetings = meetings_.at(group);
    const std::size_t set = meetings.set_of[event.rank];
    if (are_there(group, meetings.sets[set], event.micro_batch)) {
      meet(group, set, event.micro_batch, event.time);
    }
  }

  [[nodiscard]] bool are_there(RankGroup group, const std::vector<std::int64_t>& set,
                               std::size_t micro_batch) const {
    return std::all_of(set.begin(), set.end(), [&](std::int64_t rank) {
      const Progress& progress = progress_[micro_batch][index_of(rank)];
      return progress.waits && progress.exchange().group == group;
    });
  }

  /// The last rank has arrived at `now`.
  void meet(RankGroup group, std::size_t set, std::size_t micro_batch, Picoseconds now) {
    const std::vector<std::int64_t>& members = meetings_.at(group).sets[set];
    Exchange exchange = progress_[micro_batch][index_of(members.front())].exchange();
    std::int64_t rows = 0;
    for (const std::int64_t rank : members) {
      const Exchange& own = progress_[micro_batch][index_of(rank)].exchange();
      if (own.role != exchange.role) {
        throw std::logic_error("gang: ranks meet in different exchanges");
      }
      exchange.rows = std::max(exchange.rows, own.rows);
      rows += own.rows;
    }
    Picoseconds end = now;
    if (group == RankGroup::Elsewhere) {
      passage_.legs.push_back(now - left_);
      left_ = now;
    } else {
      const CollectiveCost& cost = price_of(group, set, exchange);
      Picoseconds& busy = exchange_free_[{group, set}];
      end = busy = std::max(now, busy) + cost.time;
      // The rank with the most rows decides on the time; what crosses is what all have.
      const std::int64_t most = exchange.rows * static_cast<std::int64_t>(members.size());
      for (const auto& [name, bytes] : cost.link_bytes) {
        passage_.link_bytes[name] += most == rows ? bytes : scaled(bytes, rows, most);
      }
    }
    for (const std::int64_t rank : members) leave(micro_batch, index_of(rank), end);
  }

  void leave(std::size_t micro_batch, std::size_t rank, Picoseconds end) {
    Progress& progress = progress_[micro_batch][rank];
    progress.spent[std::string(progress.exchange().role)] += end - progress.arrived;
    record(micro_batch, rank, progress.exchange().role, progress.arrived, end);
    progress.waits = false;
    ++progress.next;
    events_.insert({end, false, micro_batch, rank});
  }

  void record(std::size_t micro_batch, std::size_t rank, std::string_view label, Picoseconds start,
              Picoseconds end) {
    if (trace_ == nullptr || start == end) return;
    std::string track = "rank " + std::to_string(rank);
    if (progress_.size() > 1) track += ", micro-batch " + std::to_string(micro_batch);
    trace_->push_back({std::move(track), std::string(label), start, end});
  }

  /// Equal exchanges of a set cost the same: layers repeat.
  const CollectiveCost& price_of(RankGroup group, std::size_t set, const Exchange& exchange) {
    Hasher hash;
    hash.add(group).add(set).add(exchange.op).add(exchange.rows).add(exchange.width);
    hash.add(exchange.type).add(exchange.transport).add(exchange.top_k).add(exchange.experts);
    hash.add(exchange.groups).add(exchange.top_groups);
    const auto [known, is_new] = prices_.try_emplace(hash.value());
    if (is_new && exchange.rows > 0)
      known->second = price_(meetings_.at(group).sets[set], exchange);
    return known->second;
  }

  const ExchangePrice& price_;
  PassTrace* trace_;
  std::map<RankGroup, Meetings> meetings_;
  std::vector<std::vector<Progress>> progress_;  ///< by micro-batch, then rank
  std::set<Event> events_;
  std::vector<Picoseconds> compute_free_;
  std::map<std::pair<RankGroup, std::size_t>, Picoseconds> exchange_free_;
  std::map<std::uint64_t, CollectiveCost> prices_;
  Picoseconds left_{0};  ///< when the ranks last went elsewhere
  Passage passage_;
};

}  // namespace

Passage pass_through(const std::vector<std::vector<const RankWork*>>& work,
                     const Sharding& sharding, const ExchangePrice& price, PassTrace* trace) {
  return Walk(work, sharding, price, trace).run();
}

}  // namespace tandem
