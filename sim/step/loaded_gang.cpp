#include "sim/step/loaded_gang.hpp"

#include <algorithm>
#include <utility>

#include "sim/core/diagnostics.hpp"
#include "sim/core/integers.hpp"
#include "sim/step/gang_kv.hpp"
#include "sim/step/time_parts.hpp"

namespace tandem {
namespace {

Stage stage_of_chip(const Stage& stage, std::int64_t rank) {
  Stage own = stage;
  own.shard.rank = rank;
  return own;
}

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
  const GangCost gang = price(batch);
  StageCost cost;
  cost.time = gang.time;
  cost.floor = floor(batch);
  cost.cycles = ClockDomain(chip_.clock()).cycles_in(gang.time);
  cost.activity.counts = gang.activity;
  cost.bottleneck =
      bound_of(parts_of(gang.time, gang.kernel_times, gang.exchanges), gang.bottleneck);
  return cost;
}

std::unique_ptr<GangPass> LoadedGang::begin_gang(const Batch& batch, const StageData& in) {
  place_requests(batch);
  std::vector<StartedRank> started;
  for (std::int64_t i = 0; i < stage_.shard.of.ranks(); ++i) {
    started.push_back({rank(i).begin(batch, in), lower(stage_of_chip(stage_, i), batch).exchanges});
  }
  return std::make_unique<GangPass>(stage_.shard.of, chips_, collectives_, std::move(started));
}

void LoadedGang::finish_gang(GangPass& pass, const Batch& batch, StageData& out) {
  const Sharding& of = stage_.shard.of;
  exchanges_ = pass.exchanges();
  const std::vector<StageData> outs = pass.finish();
  const auto merged = [&](Tensor StageData::*rows, const auto& rows_of) {
    std::vector<const Tensor*> groups;
    for (std::int64_t group = 0; group < of.attention_data; ++group) {
      groups.push_back(&(outs[index_of(group * of.group_ranks())].*rows));
    }
    return merged_rows(batch, groups, rows_of);
  };
  if (stage_.has_head()) {
    out.logits =
        merged(&StageData::logits, [](const SequenceSlice& slice) { return slice.sampled(); });
  }
  if (!stage_.has_head() || stage_.hands_on_hidden) {
    out.hidden =
        merged(&StageData::hidden, [](const SequenceSlice& slice) { return slice.new_tokens; });
  }
}

StageCost LoadedGang::run(const Batch& batch, const StageData& in, StageData& out) {
  const std::unique_ptr<GangPass> pass = begin_gang(batch, in);
  if (pass->advance()) throw ModelError("gang: the layers' other halves run on other chips");
  finish_gang(*pass, batch, out);
  return cost_of(batch);
}

GangCost LoadedGang::price(const Batch& batch) {
  return GangModel(chip_, 0, collectives_, store_)
      .cost(stage_, chips_, {batch}, RankPolicy::Classes);
}

Picoseconds LoadedGang::floor(const Batch& batch) {
  return GangModel(chip_, 0, collectives_, store_).floor(stage_, chips_, batch).chain;
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

void LoadedGang::keep_path(std::int64_t request, std::int64_t tokens,
                           std::span<const std::int64_t> places) {
  for (const auto& loaded : ranks_) loaded->keep_path(request, tokens, places);
}

void LoadedGang::fork(std::int64_t from, std::int64_t to) {
  release(to);
  if (const auto found = arrived_.find(from); found != arrived_.end()) {
    arrived_.emplace(to, found->second);
    return;
  }
  for (const auto& loaded : ranks_) loaded->fork(from, to);
  groups_[to] = groups_.at(from);
}

void LoadedGang::release(std::int64_t request) {
  for (const auto& loaded : ranks_) loaded->release(request);
  groups_.erase(request);
  arrived_.erase(request);
}

}  // namespace tandem
