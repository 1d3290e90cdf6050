#include "sim/step/pool_model.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "sim/core/diagnostics.hpp"
#include "sim/core/hash.hpp"
#include "sim/core/integers.hpp"
#include "sim/step/generate.hpp"
#include "sim/step/pool_fit.hpp"
#include "sim/step/stored_collectives.hpp"
#include "source_hash.hpp"

namespace tandem {
namespace {

std::vector<Station> make_stations(const PoolFit& fit) {
  std::vector<Station> stations;
  std::int64_t chip = 0;
  for (const Stage& stage : fit.stages) {
    const bool joins_heads =
        stage.layers == 0 && !stations.empty() && stations.back().stages.front().layers == 0;
    if (!joins_heads) {
      stations.emplace_back();
      stations.back().first_chip = chip;
    }
    stations.back().stages.push_back(stage);
    stations.back().keys.push_back(stage.key());
    chip += stage.chips();
  }
  return stations;
}

}  // namespace

std::int64_t Station::chips() const {
  return first_chip_of(stages.size()) - first_chip;
}

std::int64_t Station::first_chip_of(std::size_t stage) const {
  std::int64_t chip = first_chip;
  for (std::size_t i = 0; i < stage; ++i) chip += stages[i].chips();
  return chip;
}

Picoseconds StepCost::latency() const {
  Picoseconds total{0};
  for (const Picoseconds time : stations) total += time;
  for (const Picoseconds time : hops) total += time;
  return total;
}

Picoseconds StepCost::period() const {
  return stations.empty() ? Picoseconds(0) : *std::max_element(stations.begin(), stations.end());
}

std::uint64_t key_of(const Batch& batch) {
  Hasher hash;
  for (const SequenceSlice& slice : batch.slices) {
    hash.add(slice.context).add(slice.new_tokens).add(slice.wants_logits);
    hash.add(slice.verified).add(slice.in_round);
    if (slice.prefix_tokens > 0) hash.add("prefix").add(slice.prefix).add(slice.prefix_tokens);
  }
  return hash.add(batch.slices.size()).value();
}

std::uint64_t key_of(const Chip& chip, const Software& software) {
  Hasher hash;
  hash.add(std::string_view(source_hash)).add(chip.model);
  for (const auto& [name, parameter] : chip.parameters.all()) hash.add(name).add(parameter.value);
  for (const auto& [name, parameter] : software.parameters.all()) {
    hash.add(name).add(parameter.value);
  }
  return hash.value();
}

PoolModel::PoolModel(const Scenario& scenario, const PoolPlacement& placement,
                     std::int64_t first_chip, const Catalogue& catalogue,
                     const NetworkFactory& make_network, StageStore& store, LayerDuty duty)
    : placement_(placement),
      first_chip_(first_chip),
      layers_(duty == LayerDuty::Whole ? scenario.model
                                       : half_of(scenario.model, LayerHalf::First)),
      chip_(make_chip_model(scenario, catalogue, placement.pool, &store)),
      chip_key_(key_of(chip_->chip(), scenario.software)),
      launches_(is_static() ? HostLaunches() : host_launches(scenario)),
      max_context_(longest_request(scenario.traffic)),
      hidden_(scenario.model.hidden),
      network_(make_network(scenario.system)),
      ways_(scenario.system),
      store_(store) {
  connect_gang(scenario, make_network);
  if (duty == LayerDuty::Mixers) connect_split(scenario, catalogue, make_network);
  FitQuestion question = fit_question(scenario, *chip_, layers_);
  question.store = &store_;
  question.chip_key = chip_key_;
  const PoolFit fit = require_fit(question, placement);
  stations_ = make_stations(fit);
  kv_room_ = fit.room;
  for (const Station& station : stations_) chips_per_replica_ += station.chips();
  check_chips(scenario);
}

PoolModel::PoolModel(const Scenario& scenario, const PoolModel& like, const Catalogue& catalogue,
                     const NetworkFactory& make_network, StageStore& store)
    : placement_(like.placement_),
      first_chip_(like.first_chip_),
      layers_(like.layers_),
      chip_(make_chip_model(scenario, catalogue, placement_.pool, &store)),
      chip_key_(key_of(chip_->chip(), scenario.software)),
      launches_(is_static() ? HostLaunches() : host_launches(scenario)),
      stations_(like.stations_),
      chips_per_replica_(like.chips_per_replica_),
      max_context_(like.max_context_),
      kv_room_(like.kv_room_),
      hidden_(like.hidden_),
      network_(make_network(scenario.system)),
      ways_(scenario.system, like.ways_),
      store_(store) {
  connect_gang(scenario, make_network, like.gang_.get());
  if (like.split_ == nullptr) return;
  split_ = std::make_unique<SplitLayers>(scenario, *like.split_, catalogue, make_network, store_);
}

/// Collectives of gangs that the engine runs.
void PoolModel::connect_gang(const Scenario& scenario, const NetworkFactory& make_network,
                             const GangModel* like) {
  if (chip_->runs_gangs() || placement_.gang() == 1) return;
  collectives_ = std::make_unique<StoredCollectives>(
      make_network.collectives(scenario.system, scenario.software),
      collectives_key(scenario.system, scenario.software), store_);
  gang_ = std::make_unique<GangModel>(*chip_, chip_key_, *collectives_, store_, like);
}

/// The other side of split layers.
void PoolModel::connect_split(const Scenario& scenario, const Catalogue& catalogue,
                              const NetworkFactory& make_network) {
  require_mixers_pool(*chip_, placement_);
  split_ = std::make_unique<SplitLayers>(scenario, catalogue, make_network, store_);
}

void PoolModel::check_chips(const Scenario& scenario) const {
  const ChipGroup& group = scenario.system.group(placement_.pool);
  const std::int64_t needed =
      first_chip_ + chips_per_replica_ * placement_.replicas + placement_.spares;
  if (needed <= group.count) return;
  throw ConfigError(placement_.place,
                    fmt::format("the placement needs {} chips of pool '{}' but {} has {}", needed,
                                placement_.pool, scenario.system.name, group.count));
}

ChipAddress PoolModel::address(std::int64_t replica, std::int64_t chip) const {
  return {placement_.pool, first_chip_ + replica * chips_per_replica_ + chip};
}

std::int64_t PoolModel::group_offset(std::int64_t request) const {
  const Sharding& sharding = stations_.front().stages.front().shard.of;
  return request % sharding.attention_data * sharding.group_ranks();
}

std::size_t PoolModel::stations_of(const Batch& batch) const {
  const bool has_head_station = stations_.back().stages.front().layers == 0;
  return stations_.size() - (has_head_station && batch.sampled() == 0 ? 1 : 0);
}

Batch PoolModel::on_groups(const Batch& batch) const {
  return gang_ == nullptr ? batch : dealt_to_groups(batch, placement_.attention_data);
}

std::vector<ChipAddress> PoolModel::chips_of(const Station& station, std::size_t stage) const {
  std::vector<ChipAddress> chips;
  const std::int64_t first = station.first_chip_of(stage);
  for (std::int64_t rank = 0; rank < station.stages[stage].shard.of.ranks(); ++rank) {
    chips.push_back(address(0, first + rank));
  }
  return chips;
}

/// The parts that take turns, the largest first; a batch of fewer requests has fewer parts.
std::vector<Batch> PoolModel::micro_batches(const Batch& batch) const {
  if (placement_.micro_batches == 1) return {batch};
  const Batch dealt = dealt_to_groups(batch, placement_.micro_batches);
  std::vector<Batch> parts;
  for (std::int64_t i = 0; i < placement_.micro_batches; ++i) {
    Batch part = slices_of_group(dealt, i);
    for (SequenceSlice& slice : part.slices) slice.group = 0;
    if (!part.slices.empty()) parts.push_back(std::move(part));
  }
  return parts;
}

/// Micro-batches of a pass; a chip by itself has nothing to do meanwhile.
std::vector<Batch> PoolModel::turns_of(const Batch& batch) const {
  if (gang_ == nullptr && split_ == nullptr) return {batch};
  return micro_batches(batch);
}

PoolModel::StageShare PoolModel::run_stage(const Station& station, std::size_t stage,
                                           std::vector<Batch> parts, PassTrace* trace) {
  if (gang_ != nullptr) {
    for (Batch& part : parts) part = on_groups(part);
    GangCost gang =
        gang_->cost(station.stages[stage], chips_of(station, stage), parts, policy_, trace);
    StageShare share;
    share.parts = parts_of(gang.time, gang.kernel_times, gang.exchanges);
    share.link_bytes = std::move(gang.link_bytes);
    share.legs = std::move(gang.legs);
    share.launches = gang.launches;
    share.result = {gang.time,
                    gang.matrix,
                    gang.memory,
                    gang.kernels,
                    std::move(gang.activity),
                    std::move(gang.bottleneck),
                    {},
                    {}};
    return share;
  }
  const Batch& batch = parts.front();
  const std::uint64_t key =
      Hasher().add(chip_key_).add(station.keys[stage]).add(key_of(batch)).value();
  const StageResult* result = store_.find(key);
  if (result == nullptr) {
    result = &store_.put(key, summary_of(chip_->simulate(station.stages[stage], batch)));
  }
  return {*result,
          parts_of(result->time, result->kernel_times, {}),
          {},
          result->segments,
          result->kernels};
}

namespace {

void add_counts(const std::map<std::string, std::int64_t>& more,
                std::map<std::string, std::int64_t>& counts) {
  for (const auto& [name, count] : more) counts[name] += count;
}

}  // namespace

void PoolModel::add_work(const StageShare& more, StageShare& share) {
  add_counts(more.result.activity, share.result.activity);
  add_counts(more.link_bytes, share.link_bytes);
  share.result.matrix += more.result.matrix;
  share.result.memory += more.result.memory;
  share.result.kernels += more.result.kernels;
  share.launches += more.launches;
}

/// All micro-batches through mixers and feed-forward blocks in turns. The way that is told is that
/// of the largest.
PoolModel::StageShare PoolModel::run_in_turns(const Station& station, std::size_t stage,
                                              const Batch& batch, RemoteShare& remote,
                                              PassTrace* trace) {
  std::vector<MixerWork> work;
  StageShare share;
  for (const Batch& part : micro_batches(batch)) {
    StageShare own = run_stage(station, stage, {part}, nullptr);
    work.push_back({part.tokens(), own.legs});
    if (work.size() == 1) {
      share = std::move(own);
    } else {
      add_work(own, share);
    }
  }
  SplitRound round = split_->round(work, chips_of(station, stage), trace);
  add_counts(round.link_bytes, share.link_bytes);
  const PingPong& pace = round.pace;
  share.result.time = pace.time;
  add_parts({{"bridge", pace.bridge},
             {"slot_wait", pace.slot_wait},
             {"feed_forward", pace.feeding},
             {waiting_for_mixers, pace.mixer_wait}},
            share.parts);
  share.parts[waiting] += pace.time - total_of(share.parts);
  remote = std::move(round.remote);
  return share;
}

void PoolModel::add_station(const Station& station, const Batch& batch, StepCost& cost,
                            PassTrace* trace) {
  StageShare slowest;
  for (std::size_t i = 0; i < station.stages.size(); ++i) {
    StageShare share = split_ == nullptr
                           ? run_stage(station, i, turns_of(batch), i == 0 ? trace : nullptr)
                           : run_in_turns(station, i, batch, cost.remote, i == 0 ? trace : nullptr);
    wait_for_host(launches_.of(batch) * share.launches, share.result.time, share.parts);
    for (const auto& [name, count] : share.result.activity) cost.activity[name] += count;
    for (const auto& [name, bytes] : share.link_bytes) cost.link_bytes[name] += bytes;
    cost.matrix += share.result.matrix;
    cost.memory += share.result.memory;
    cost.kernels += share.result.kernels;
    if (share.result.time > slowest.result.time) slowest = std::move(share);
  }
  if (cost.stations.empty() || slowest.result.time > cost.period()) {
    cost.bottleneck = bound_of(slowest.parts, slowest.result.bottleneck);
  }
  add_parts(slowest.parts, cost.parts);
  cost.stations.push_back(slowest.result.time);
}

PassTrace PoolModel::trace(const Batch& batch) {
  PassTrace whole;
  Picoseconds start{0};
  const std::size_t stations = stations_of(batch);
  for (std::size_t i = 0; i < stations; ++i) {
    StepCost cost;
    PassTrace own;
    add_station(stations_[i], batch, cost, &own);
    const std::string station = stations == 1 ? "" : fmt::format("station {}, ", i);
    if (own.empty()) own.push_back({"kernels", "kernels", Picoseconds(0), cost.stations.front()});
    for (PassSpan& span : own) {
      whole.push_back(
          {station + span.track, std::move(span.label), start + span.start, start + span.end});
    }
    start +=
        cost.stations.front() + (i + 1 == stations ? Picoseconds(0) : hop_behind(i, batch).time);
  }
  return whole;
}

StepCost PoolModel::simulate(const Batch& batch) {
  StepCost cost;
  const std::size_t stations = stations_of(batch);
  for (std::size_t i = 0; i < stations; ++i) {
    add_station(stations_[i], batch, cost, nullptr);
    const Hop next = hop_behind(i, batch);
    cost.hops.push_back(next.time);
    if (next.time.count() > 0) cost.parts["hand_over"] += next.time;
    for (const auto& [name, bytes] : next.link_bytes) cost.link_bytes[name] += bytes;
  }
  return cost;
}

const StepCost& PoolModel::step(const Batch& batch) {
  const std::uint64_t key = key_of(batch);
  const auto found = steps_.find(key);
  if (found != steps_.end()) return found->second;
  return steps_.emplace(key, simulate(batch)).first->second;
}

PoolModel::StageFloor PoolModel::floor_of(const Station& station, std::size_t stage,
                                          const Batch& batch) {
  const Stage& own = station.stages[stage];
  const std::vector<ChipAddress> chips = chips_of(station, stage);
  const std::vector<Batch> parts = turns_of(batch);
  // The chips serve all micro-batches; one of them goes all the way.
  GangFloor sum, first;
  for (const Batch& part : parts) {
    GangFloor floor;
    if (gang_ == nullptr) {
      floor.chain = floor.kernels = chip_->floor(own, part);
    } else {
      floor = gang_->floor(own, chips, on_groups(part));
    }
    if (sum.chain.count() == 0) first = floor;
    sum.chain += floor.chain;
    sum.kernels += floor.kernels;
    sum.exchanges += floor.exchanges;
  }
  StageFloor result{std::max({first.chain, sum.kernels, sum.exchanges}),
                    {{"kernels", first.kernels}, {"exchange", first.exchanges}}};
  if (split_ == nullptr) return result;
  const TimeParts elsewhere = split_->floor(parts.front().tokens(), chips);
  result.time = std::max(first.chain + total_of(elsewhere), sum.chain);
  add_parts(elsewhere, result.parts);
  return result;
}

const StepFloor& PoolModel::floor(const Batch& batch) {
  const std::uint64_t key = key_of(batch);
  const auto found = floors_.find(key);
  if (found != floors_.end()) return found->second;
  StepFloor result;
  std::map<std::uint64_t, StageFloor> of_kind;  // equal stages have equal floors
  const std::size_t stations = stations_of(batch);
  for (std::size_t i = 0; i < stations; ++i) {
    const StageFloor* slowest = nullptr;
    for (std::size_t j = 0; j < stations_[i].stages.size(); ++j) {
      auto [known, is_new] = of_kind.try_emplace(stations_[i].keys[j]);
      if (is_new) known->second = floor_of(stations_[i], j, batch);
      if (slowest == nullptr || known->second.time > slowest->time) slowest = &known->second;
    }
    const Picoseconds hop = hop_floor_behind(i, batch);
    result.latency += slowest->time + hop;
    result.period = std::max(result.period, slowest->time);
    add_parts(slowest->parts, result.parts);
    result.parts["hand_over"] += hop;
  }
  return floors_.emplace(key, std::move(result)).first->second;
}

}  // namespace tandem
