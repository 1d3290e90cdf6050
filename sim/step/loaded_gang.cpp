#include "sim/step/loaded_gang.hpp"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "sim/core/diagnostics.hpp"
#include "sim/core/integers.hpp"
#include "sim/step/gang_kv.hpp"
#include "sim/step/gang_model.hpp"
#include "sim/step/rank_exchange.hpp"

namespace tandem {
namespace {

Stage stage_of_chip(const Stage& stage, std::int64_t rank) {
  Stage own = stage;
  own.shard.rank = rank;
  return own;
}

/// One rank within a pass.
struct RunningRank {
  std::unique_ptr<RankPass> pass;
  std::vector<Exchange> exchanges;
  std::size_t next = 0;
  std::optional<RankTensors> brought;  ///< to the exchange that it waits at

  [[nodiscard]] const Exchange& exchange() const { return exchanges[next]; }
  void advance() { brought = pass->advance(); }
  void receive(RankTensors results) {
    pass->receive(std::move(results));
    ++next;
    advance();
  }
};

/// Lets the ranks of one pass meet until all are through.
class GangPass {
 public:
  GangPass(const Sharding& sharding, const std::vector<ChipAddress>& chips,
           CollectiveModel& collectives, std::vector<ExchangeRecord>& records)
      : sharding_(sharding), chips_(chips), collectives_(collectives), records_(records) {}

  void run(std::vector<RunningRank>& ranks) {
    for (RunningRank& rank : ranks) rank.advance();
    for (bool moves = true; moves;) {
      moves = false;
      for (std::int64_t rank = 0; rank < sharding_.ranks(); ++rank) {
        if (!ranks[index_of(rank)].brought) continue;
        const auto peers = peers_of(ranks[index_of(rank)].exchange().group, {sharding_, rank});
        if (peers.front() != rank || !are_there(peers, ranks)) continue;
        meet(peers, ranks);
        moves = true;
      }
    }
    for (const RunningRank& rank : ranks) {
      if (rank.brought) throw std::logic_error("gang: ranks wait for each other");
    }
  }

 private:
  static bool are_there(const std::vector<std::int64_t>& peers,
                        const std::vector<RunningRank>& ranks) {
    const Exchange& first = ranks[index_of(peers.front())].exchange();
    return std::all_of(peers.begin(), peers.end(), [&](std::int64_t peer) {
      const RunningRank& rank = ranks[index_of(peer)];
      return rank.brought && rank.exchange().role == first.role &&
             rank.exchange().layer == first.layer;
    });
  }

  void meet(const std::vector<std::int64_t>& peers, std::vector<RunningRank>& ranks) {
    std::vector<Exchange> views;
    std::vector<ChipAddress> chips;
    std::vector<RankTensors> brought;
    for (const std::int64_t peer : peers) {
      RunningRank& rank = ranks[index_of(peer)];
      views.push_back(rank.exchange());
      chips.push_back(chips_[index_of(peer)]);
      brought.push_back(std::move(*rank.brought));
    }
    ExchangeRecord record;
    record.ranks = peers;
    auto results = run_exchange(views, chips, std::move(brought), collectives_, record);
    records_.push_back(std::move(record));
    for (std::size_t i = 0; i < peers.size(); ++i) {
      ranks[index_of(peers[i])].receive(std::move(results[i]));
    }
  }

  const Sharding& sharding_;
  const std::vector<ChipAddress>& chips_;
  CollectiveModel& collectives_;
  std::vector<ExchangeRecord>& records_;
};

/// Puts the rows of all attention groups back into the order of the batch. `rows_of` says how many
/// a slice has.
template <class RowsOf>
Tensor merged_rows(const Batch& batch, const std::vector<const Tensor*>& groups,
                   const RowsOf& rows_of) {
  std::int64_t total = 0;
  for (const SequenceSlice& slice : batch.slices) total += rows_of(slice);
  const Tensor& first = *groups.front();
  const std::int64_t row_bytes = first.dim(1) * bytes_of(first.type());
  Tensor merged(first.type(), {total, first.dim(1)});
  std::vector<std::int64_t> next(groups.size());
  auto to = merged.bytes().begin();
  for (const SequenceSlice& slice : batch.slices) {
    const auto group = groups.size() == 1 ? 0 : index_of(slice.group);
    const std::int64_t bytes = rows_of(slice) * row_bytes;
    const auto from = groups[group]->bytes().begin() + next[group];
    to = std::copy(from, from + bytes, to);
    next[group] += bytes;
  }
  return merged;
}

}  // namespace

LoadedGang::LoadedGang(const ChipModel& chip, const Stage& stage, const Weights& weights,
                       std::int64_t sequences, std::int64_t max_context,
                       std::vector<ChipAddress> chips, CollectiveModel& collectives)
    : chip_(chip), stage_(stage), chips_(std::move(chips)), collectives_(collectives) {
  const std::int64_t ranks = stage.shard.of.ranks();
  if (static_cast<std::int64_t>(chips_.size()) != ranks) {
    throw ModelError("gang: as many chips as ranks");
  }
  for (std::int64_t rank = 0; rank < ranks; ++rank) {
    ranks_.push_back(chip.load(stage_of_chip(stage, rank), weights, sequences, max_context));
  }
}

/// KV that came before its request's first pass goes to the group which that names.
void LoadedGang::place_requests(const Batch& batch) {
  const Sharding& of = stage_.shard.of;
  for (const SequenceSlice& slice : batch.slices) {
    if (slice.group < 0 || slice.group >= of.attention_data) {
      throw ModelError("gang: request " + std::to_string(slice.request) + " in attention group " +
                       std::to_string(slice.group) + " of " + std::to_string(of.attention_data));
    }
    const auto arrived = arrived_.find(slice.request);
    groups_[slice.request] = slice.group;
    if (arrived == arrived_.end()) continue;
    for (std::int64_t i = 0; i < of.group_ranks(); ++i) {
      const std::int64_t index = slice.group * of.group_ranks() + i;
      rank(index).import_kv(slice.request, heads_of_rank(arrived->second, {of, index}));
    }
    arrived_.erase(arrived);
  }
}

StageCost LoadedGang::cost_of(const Batch& batch) {
  GangModel model(chip_, 0, collectives_, store_);
  const GangCost gang = model.cost(stage_, chips_, {batch}, RankPolicy::Classes);
  StageCost cost;
  cost.time = gang.time;
  cost.floor = model.floor(stage_, chips_, batch).chain;
  cost.cycles = ClockDomain(chip_.clock()).cycles_in(gang.time);
  cost.activity.counts = gang.activity;
  cost.bottleneck = gang.bottleneck;
  return cost;
}

StageCost LoadedGang::run(const Batch& batch, const StageData& in, StageData& out) {
  place_requests(batch);
  const Sharding& of = stage_.shard.of;
  std::vector<RunningRank> running;
  for (std::int64_t i = 0; i < of.ranks(); ++i) {
    running.push_back({rank(i).begin(batch, in), lower(stage_of_chip(stage_, i), batch).exchanges,
                       0, std::nullopt});
  }
  exchanges_.clear();
  GangPass(of, chips_, collectives_, exchanges_).run(running);
  std::vector<StageData> outs(running.size());
  for (std::size_t i = 0; i < running.size(); ++i) (void)running[i].pass->finish(outs[i]);
  std::vector<const Tensor*> groups;
  for (std::int64_t group = 0; group < of.attention_data; ++group) {
    const StageData& first = outs[index_of(group * of.group_ranks())];
    groups.push_back(stage_.has_head() ? &first.logits : &first.hidden);
  }
  if (stage_.has_head()) {
    out.logits =
        merged_rows(batch, groups, [](const SequenceSlice& slice) { return slice.sampled(); });
  } else {
    out.hidden =
        merged_rows(batch, groups, [](const SequenceSlice& slice) { return slice.new_tokens; });
  }
  return cost_of(batch);
}

KvBlock LoadedGang::export_kv(std::int64_t request) const {
  if (const auto found = arrived_.find(request); found != arrived_.end()) return found->second;
  const auto group = groups_.find(request);
  if (group == groups_.end()) {
    throw ModelError("gang: request " + std::to_string(request) + " has no KV on these chips");
  }
  const Sharding& of = stage_.shard.of;
  std::vector<KvBlock> blocks;
  std::vector<Shard> holders;
  for (std::int64_t i = 0; i < of.group_ranks(); ++i) {
    const std::int64_t index = group->second * of.group_ranks() + i;
    blocks.push_back(rank(index).export_kv(request));
    holders.push_back({of, index});
  }
  return merged_heads(stage_, blocks, holders);
}

void LoadedGang::import_kv(std::int64_t request, const KvBlock& block) {
  release(request);
  arrived_.insert_or_assign(request, block);
}

void LoadedGang::keep(std::int64_t request, std::int64_t tokens) {
  for (const auto& loaded : ranks_) loaded->keep(request, tokens);
}

void LoadedGang::release(std::int64_t request) {
  for (const auto& loaded : ranks_) loaded->release(request);
  groups_.erase(request);
  arrived_.erase(request);
}

}  // namespace tandem
