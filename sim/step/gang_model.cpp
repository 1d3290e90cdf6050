#include "sim/step/gang_model.hpp"

#include <algorithm>
#include <cmath>

#include "sim/core/diagnostics.hpp"
#include "sim/core/hash.hpp"
#include "sim/core/integers.hpp"
#include "sim/step/group_loads.hpp"
#include "sim/step/passage.hpp"
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
  collective.groups = exchange.groups;
  collective.top_groups = exchange.top_groups;
  collective.transport = exchange.transport;
  if (bytes_of(exchange.type) == 1) {
    collective.row_extra = Bytes(ceil_div(exchange.width, scaled_elements) * scale_bytes);
  }
  return collective;
}

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

std::vector<ChipAddress> members_of(const std::vector<ChipAddress>& chips,
                                    const std::vector<std::int64_t>& ranks) {
  std::vector<ChipAddress> members;
  for (const std::int64_t rank : ranks) members.push_back(chips[index_of(rank)]);
  return members;
}

/// What the cost of an exchange depends on besides who takes part.
void add_exchange(const Exchange& exchange, Hasher& hash) {
  hash.add(exchange.group).add(exchange.op);
  hash.add(exchange.rows).add(exchange.width).add(exchange.type).add(exchange.transport);
  hash.add(exchange.top_k).add(exchange.experts).add(exchange.groups).add(exchange.top_groups);
}

/// Kernels and exchanges of the rank that has the most, over all micro-batches.
std::int64_t most_launches(const std::vector<std::vector<const RankWork*>>& plan) {
  std::int64_t most = 0;
  for (std::size_t rank = 0; rank < plan.front().size(); ++rank) {
    std::int64_t launches = 0;
    for (const auto& works : plan)
      launches += works[rank]->result.kernels + std::ssize(works[rank]->exchanges);
    most = std::max(most, launches);
  }
  return most;
}

void describe_last(const RankPassage& last, const RankWork& work, GangCost& cost) {
  cost.exchanges = last.exchanges;
  cost.kernel_times = work.result.kernel_times;
  cost.bottleneck = work.result.bottleneck;
}

/// What kernels of ranks depend on besides their own requests, for one batch on a gang.
class RankShares {
 public:
  RankShares(const Stage& stage, const Batch& batch)
      : own_(stage_of_rank(stage, 0)), owns_rows_(own_.shard.of.sends_rows()) {
    const bool decodes = std::all_of(batch.slices.begin(), batch.slices.end(),
                                     [](const SequenceSlice& slice) { return slice.is_decode(); });
    of_all_ =
        Hasher().add(own_.key()).add(batch.tokens()).add(batch.sampled() > 0).add(decodes).value();
    for (const LayerKind& kind : own_.network.kinds) {
      owns_rows_ = owns_rows_ || kind.ffn.is_elsewhere();
      if (!kind.ffn.experts) continue;
      expert_rows_.push_back(copied_expert_rows(batch.tokens(), *kind.ffn.experts, own_.shard.of));
    }
  }

  void add(std::int64_t rank, std::int64_t group_tokens, Hasher& hash) {
    own_.shard.rank = rank;
    const Shard& shard = own_.shard;
    hash.add(of_all_).add(own_.head_rows()).add(own_.embedding_rows());
    // Shares that do not come out even give earlier ranks one more.
    if (shard.of.context > 1) hash.add(shard.context_rank());
    if (owns_rows_) {
      hash.add(share_of(group_tokens, shard.of.group_ranks(), shard.group_rank()).size());
    }
    for (const std::vector<std::int64_t>& all : expert_rows_) {
      for (const std::int64_t rows : held_expert_rows(all, shard)) hash.add(rows);
    }
  }

 private:
  Stage own_;
  bool owns_rows_;  ///< ranks of a group have their shares of its rows
  std::uint64_t of_all_ = 0;
  std::vector<std::vector<std::int64_t>> expert_rows_;  ///< by kind of layer
};

/// Cached tokens of groups alike differ by less than this.
constexpr double alike_within = 0.05;

}  // namespace

std::uint64_t rank_class(const Stage& stage, const Batch& batch) {
  const bool splits = stage.shard.of.attention_data > 1;
  const Batch own = splits ? slices_of_group(batch, stage.shard.group()) : batch;
  Hasher hash;
  hash.add(key_of(own));
  RankShares(stage, batch).add(stage.shard.rank, own.tokens(), hash);
  return hash.value();
}

std::vector<std::int64_t> representatives(const Stage& stage, const Batch& batch) {
  const std::int64_t ranks = stage.shard.of.ranks();
  const std::vector<GroupLoad> loads = loads_of(batch, stage.shard.of.attention_data);
  RankShares shares(stage, batch);
  std::vector<std::uint64_t> kinds;
  std::map<std::uint64_t, std::int64_t> first_of;
  const auto load_of = [&](std::int64_t rank) -> const GroupLoad& {
    return loads[index_of(Shard{stage.shard.of, rank}.group())];
  };
  for (std::int64_t rank = 0; rank < ranks; ++rank) {
    const GroupLoad& load = load_of(rank);
    Hasher hash;
    hash.add(load.requests).add(load.fresh).add(load.prompts).add(load.sampled);
    const double cached = static_cast<double>(load.cached + 1);
    hash.add(static_cast<std::int64_t>(std::log(cached) / std::log1p(alike_within)));
    shares.add(rank, load.fresh, hash);
    kinds.push_back(hash.value());
    const auto [known, is_new] = first_of.try_emplace(kinds.back(), rank);
    if (!is_new && load.cached > load_of(known->second).cached) known->second = rank;
  }
  std::vector<std::int64_t> result;
  for (const std::uint64_t kind : kinds) result.push_back(first_of.at(kind));
  return result;
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

GangModel::GangModel(const ChipModel& chip, std::uint64_t chip_key, CollectiveModel& collectives,
                     StageStore& store, const GangModel* like)
    : chip_(chip),
      chip_key_(chip_key),
      collectives_(collectives),
      store_(store),
      exchanges_(like == nullptr ? std::make_shared<Exchanges>() : like->exchanges_) {}

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

/// The least that exchange_cost() could be, by closed forms; layers repeat.
Picoseconds GangModel::exchange_floor(const std::vector<ChipAddress>& chips, const Shard& shard,
                                      const Exchange& exchange) {
  Hasher hash;
  hash.add(chips.front().pool).add(chips.front().index).add(chips.size()).add(shard.rank);
  add_exchange(exchange, hash);
  const auto [known, is_new] = floors_.try_emplace(hash.value());
  if (!is_new) return known->second;
  const std::vector<ChipAddress> members = members_of(chips, peers_of(exchange.group, shard));
  const auto by = [&](CollectiveEntry entry) {
    return collectives_.floor(members, collective_of(exchange, entry));
  };
  known->second = by(CollectiveEntry::Library);
  if (exchange.op == CollectiveOp::AllReduce) {
    known->second = std::min(known->second, by(CollectiveEntry::InGraph));
  }
  return known->second;
}

/// The same for all exchanges of a chip in a pass.
Picoseconds GangModel::exchanges_floor(const Stage& own, const std::vector<ChipAddress>& chips,
                                       const Batch& batch) {
  const std::uint64_t loads = loads_key(own, batch);
  Hasher hash;
  hash.add(loads).add(chips.front().pool).add(chips.front().index).add(chips.size());
  const auto [known, is_new] = pass_floors_.try_emplace(hash.value());
  if (!is_new) return known->second;
  Picoseconds sum{0};
  for (const Repeated& one : exchanges_of(own, loads, batch)) {
    sum += exchange_floor(chips, own.shard, one.exchange) * one.times;
  }
  return known->second = sum;
}

const std::vector<GangModel::Repeated>& GangModel::exchanges_of(const Stage& own,
                                                                std::uint64_t loads,
                                                                const Batch& batch) {
  const auto [known, is_new] = exchanges_->try_emplace(loads);
  if (!is_new) return known->second;
  std::map<std::uint64_t, Repeated> kinds;
  for (const Exchange& exchange : lower(own, batch).exchanges) {
    if (exchange.rows == 0 || exchange.group == RankGroup::Elsewhere) continue;
    Hasher hash;
    add_exchange(exchange, hash);
    Repeated& kind = kinds[hash.value()];
    kind.exchange = exchange;
    ++kind.times;
  }
  for (const auto& [key, kind] : kinds) known->second.push_back(kind);
  return known->second;
}

const std::vector<Exchange>& GangModel::exchange_list(const Stage& own, const Batch& batch) {
  const auto [known, is_new] = lists_.try_emplace(loads_key(own, batch));
  if (is_new) known->second = lower(own, batch).exchanges;
  return known->second;
}

const CollectiveCost& GangModel::price_of(const std::vector<ChipAddress>& chips, const Shard& shard,
                                          const Exchange& exchange) {
  const std::vector<std::int64_t> ranks = peers_of(exchange.group, shard);
  Hasher hash;
  hash.add(chips.front().pool).add(chips.front().index).add(chips.size());
  hash.add(ranks.front()).add(ranks.size());
  add_exchange(exchange, hash);
  const auto [known, is_new] = prices_.try_emplace(hash.value());
  if (!is_new) return known->second;
  return known->second = exchange_cost(members_of(chips, ranks), exchange);
}

GangModel::Worker GangModel::worker_of(const Stage& stage, const std::vector<ChipAddress>& chips,
                                       const std::vector<Batch>& micro_batches) {
  const Worker whole{&chip_, chip_key_};
  if (micro_batches.size() < 2) return whole;
  std::int64_t given = 0;
  for (const Exchange& exchange : lower(stage, micro_batches.front()).exchanges) {
    if (exchange.transport != MoeTransport::Bulk || exchange.rows == 0) continue;
    given = std::max(given, price_of(chips, stage.shard, exchange).sms);
  }
  if (given == 0) return whole;
  std::unique_ptr<ChipModel>& chip = beside_[given];
  if (chip == nullptr) chip = chip_.without_units(given);
  if (chip == nullptr) return whole;
  return {chip.get(), Hasher().add(chip_key_).add(given).value()};
}

/// What a rank does with a batch: simulated, or known by its kind.
const RankWork& GangModel::work_of(const Worker& worker, const Stage& own, const Batch& batch,
                                   RankPolicy policy, Works& works, GangCost& cost) {
  const std::uint64_t kind = rank_class(own, batch);
  const bool all = policy == RankPolicy::All;
  Hasher key = Hasher().add(kind);
  if (all) key.add(works.size());
  std::unique_ptr<RankWork>& work = works[key.value()];
  if (work != nullptr) return *work;
  work = std::make_unique<RankWork>();
  ++cost.simulated_ranks;
  const std::uint64_t stored = Hasher().add(worker.key).add(kind).value();
  const StageResult* known = all ? nullptr : store_.find(stored);
  if (known != nullptr) {
    work->result = *known;
  } else {
    work->result = summary_of(worker.chip->simulate(own, batch));
    if (!all) store_.put(stored, work->result);
  }
  work->exchanges = exchange_list(own, batch);
  return *work;
}

GangCost GangModel::cost(const Stage& stage, const std::vector<ChipAddress>& chips,
                         const std::vector<Batch>& micro_batches, RankPolicy policy,
                         PassTrace* trace) {
  const Sharding& sharding = stage.shard.of;
  GangCost cost;
  Works works;
  const Worker worker = worker_of(stage, chips, micro_batches);
  std::vector<std::vector<const RankWork*>> plan;
  for (const Batch& batch : micro_batches) {
    plan.emplace_back();
    const std::vector<std::int64_t> stand_ins = representatives(stage, batch);
    std::map<std::int64_t, const RankWork*> of_stand_in;
    for (std::int64_t rank = 0; rank < sharding.ranks(); ++rank) {
      const std::int64_t stand_in = policy == RankPolicy::All ? rank : stand_ins[index_of(rank)];
      const RankWork*& work = of_stand_in[stand_in];
      if (work == nullptr) {
        work = &work_of(worker, stage_of_rank(stage, stand_in), batch, policy, works, cost);
      }
      plan.back().push_back(work);
      add_rank(work->result, cost);
    }
  }
  const auto price = [&](const std::vector<std::int64_t>& ranks, const Exchange& exchange) {
    return price_of(chips, {sharding, ranks.front()}, exchange);
  };
  Passage passage = pass_through(plan, sharding, price, trace);
  cost.time = passage.time;
  cost.legs = std::move(passage.legs);
  cost.launches = most_launches(plan);
  cost.link_bytes = std::move(passage.link_bytes);
  describe_last(passage.last, *plan[passage.last.micro_batch][passage.last.rank], cost);
  return cost;
}

GangFloor GangModel::floor(const Stage& stage, const std::vector<ChipAddress>& chips,
                           const Batch& batch) {
  const Sharding& sharding = stage.shard.of;
  const std::vector<std::int64_t> stand_ins = representatives(stage, batch);
  GangFloor floor;
  for (std::int64_t rank = 0; rank < sharding.ranks(); ++rank) {
    if (stand_ins[index_of(rank)] != rank) continue;
    const Stage own = stage_of_rank(stage, rank);
    const Picoseconds kernels = chip_.floor(own, batch);
    const Picoseconds exchanges = exchanges_floor(own, chips, batch);
    floor.chain = std::max(floor.chain, kernels + exchanges);
    floor.kernels = std::max(floor.kernels, kernels);
    floor.exchanges = std::max(floor.exchanges, exchanges);
  }
  return floor;
}

}  // namespace tandem
