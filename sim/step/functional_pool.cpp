#include "sim/step/functional_pool.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

#include "sim/core/diagnostics.hpp"
#include "sim/core/integers.hpp"
#include "sim/step/loaded_gang.hpp"
#include "sim/step/pool_fit.hpp"

namespace tandem {
namespace {

/// One new token per request.
bool is_one_each(const Batch& batch) {
  return batch.tokens() == static_cast<std::int64_t>(batch.slices.size());
}

}  // namespace

std::string chip_name(const ChipAddress& address) {
  return fmt::format("{}{}", address.pool, address.index);
}

std::vector<NetworkModel::Delivery> send_and_wait(NetworkModel& network, Picoseconds start,
                                                  const std::vector<Parcel>& parcels) {
  std::map<NetworkModel::MessageId, std::size_t> pending;
  for (std::size_t i = 0; i < parcels.size(); ++i) {
    const Bytes size(static_cast<std::int64_t>(parcels[i].payload->size()));
    pending[network.send(start, parcels[i].from, parcels[i].to, size, parcels[i].payload)] = i;
  }
  std::vector<NetworkModel::Delivery> deliveries(parcels.size());
  while (!pending.empty()) {
    if (!network.next_delivery()) throw std::logic_error("network: a message was never delivered");
    NetworkModel::Delivery delivery = network.pop_delivery();
    const auto found = pending.find(delivery.id);
    if (found == pending.end()) continue;
    deliveries[found->second] = std::move(delivery);
    pending.erase(found);
  }
  return deliveries;
}

FunctionalPool::FunctionalPool(const ChipModel& chip, const PoolPlacement& placement,
                               const Weights& weights, std::int64_t max_context,
                               std::int64_t first_chip, NetworkModel& network,
                               CollectiveModel* collectives, TimelineRecorder* timeline,
                               LoadedFeedForward* blocks, std::int64_t sequences)
    : pool_(placement.pool),
      first_chip_(first_chip),
      sequences_(sequences),
      hidden_type_(chip.hidden_type(placement.precision)),
      schedules_links_(chip.schedules_links()),
      stages_(stages_of(
          chip, blocks == nullptr ? weights.network : half_of(weights.network, LayerHalf::First),
          placement, placement.head_chips)),
      network_(network),
      timeline_(timeline) {
  if (blocks != nullptr) require_mixers_pool(chip, placement);
  for (std::size_t s = 0; s < stages_.size(); ++s) {
    require_room(chip, placement, s, max_context);
    if (blocks == nullptr) {
      load(s, chip, weights, max_context, collectives);
    } else {
      auto split =
          std::make_unique<LoadedSplit>(load_gang(s, chip, weights, max_context, collectives),
                                        *blocks, network, placement.micro_batches, timeline);
      split_ = split.get();
      loaded_.push_back(std::move(split));
    }
    cycles_.emplace(chip_name(address(s)), Cycles(0));
  }
}

void FunctionalPool::require_room(const ChipModel& chip, const PoolPlacement& placement,
                                  std::size_t stage, std::int64_t max_context) const {
  const Fit fit = chip.fit(stages_[stage], sequences_, max_context);
  const std::int64_t room = fit.sequences(max_context);
  if (room >= sequences_) return;
  if (room >= 1) {
    throw ConfigError(placement.place,
                      fmt::format("stage {} of pool '{}' has room for {} of {} branches of {} "
                                  "tokens; ask for fewer, or use a longer pipeline",
                                  stage, pool_, room, sequences_, max_context));
  }
  throw ConfigError(
      placement.place,
      fmt::format("stage {} of pool '{}' needs {} B for weights, programs and workspace and "
                  "{} B of KV cache or states, but a {} holds {} B; use a longer pipeline",
                  stage, pool_, (fit.capacity - fit.free_for_kv()).count(),
                  fit.bytes_of_sequence(max_context).count(), chip.chip().name,
                  fit.capacity.count()));
}

void FunctionalPool::load(std::size_t stage, const ChipModel& chip, const Weights& weights,
                          std::int64_t max_context, CollectiveModel* collectives) {
  if (stages_[stage].shard.is_whole()) {
    loaded_.push_back(chip.load(stages_[stage], weights, sequences_, max_context));
  } else {
    loaded_.push_back(load_gang(stage, chip, weights, max_context, collectives));
  }
}

std::unique_ptr<LoadedGang> FunctionalPool::load_gang(std::size_t stage, const ChipModel& chip,
                                                      const Weights& weights,
                                                      std::int64_t max_context,
                                                      CollectiveModel* collectives) const {
  if (collectives == nullptr) throw ModelError("functional pool: a gang needs collectives");
  std::vector<ChipAddress> chips;
  for (std::int64_t rank = 0; rank < stages_[stage].shard.of.ranks(); ++rank) {
    chips.push_back({pool_, address(stage).index + rank});
  }
  return std::make_unique<LoadedGang>(chip, stages_[stage], weights, sequences_, max_context,
                                      std::move(chips), *collectives);
}

std::map<std::string, Cycles> FunctionalPool::cycles() const {
  std::map<std::string, Cycles> all = cycles_;
  if (split_ == nullptr) return all;
  for (const auto& [name, cycles] : split_->cycles()) all[name] += cycles;
  return all;
}

std::vector<Transfer> FunctionalPool::transfers() const {
  std::vector<Transfer> all = transfers_;
  if (split_ == nullptr) return all;
  all.insert(all.end(), split_->transfers().begin(), split_->transfers().end());
  return all;
}

std::int64_t FunctionalPool::chips() const {
  return static_cast<std::int64_t>(stages_.size()) * stages_.front().chips();
}

ChipAddress FunctionalPool::address(std::size_t stage) const {
  return {pool_, first_chip_ + static_cast<std::int64_t>(stage) * stages_.front().chips()};
}

/// Moves the hidden rows to the chips [first_target, last_target); returns when each has them.
/// Where programs contain their sends, a hop takes the flight of a vector: its floor, since nothing
/// else is on the link.
std::vector<Picoseconds> FunctionalPool::pass_hidden(std::size_t from, std::size_t first_target,
                                                     std::size_t last_target, StageData& data,
                                                     Picoseconds start) {
  const ElementType own_type = data.hidden.type();
  Tensor wire = data.hidden.converted(hidden_type_);
  const auto bytes = wire.bytes();
  auto payload = std::make_shared<const std::vector<std::byte>>(bytes.begin(), bytes.end());
  std::vector<Parcel> parcels;
  for (std::size_t t = first_target; t < last_target; ++t) {
    parcels.push_back({address(from), address(t), payload});
  }
  std::vector<Picoseconds> arrivals;
  for (const auto& delivery : send_and_wait(network_, start, parcels)) {
    const Parcel& parcel = parcels[arrivals.size()];
    std::copy(delivery.payload->begin(), delivery.payload->end(), wire.bytes().begin());
    arrivals.push_back(schedules_links_ ? start + network_.floor(parcel.from, parcel.to, Bytes(1))
                                        : delivery.time);
    transfers_.push_back({chip_name(parcel.from), chip_name(parcel.to), "hidden",
                          Bytes(static_cast<std::int64_t>(bytes.size())), start, arrivals.back()});
  }
  data.hidden = wire.converted(own_type);
  return arrivals;
}

StageCost FunctionalPool::run_loaded(std::size_t stage, const Batch& batch, const StageData& in,
                                     StageData& out, Picoseconds start) {
  return split_ == nullptr ? loaded_[stage]->run(batch, in, out)
                           : split_->run_from(start, batch, in, out);
}

StageData FunctionalPool::run_stage(std::size_t stage, const Batch& batch, const StageData& in,
                                    Picoseconds start, PoolPass& pass, Picoseconds& floor) {
  StageData out;
  const StageCost cost = run_loaded(stage, batch, in, out, start);
  const Picoseconds done = start + cost.time;
  const std::string name = chip_name(address(stage));
  pass.end = std::max(pass.end, done);
  floor = std::max(floor, cost.floor);
  cycles_[name] += cost.cycles;
  if (timeline_ != nullptr) {
    timeline_->span(timeline_->track(name, "passes"), is_one_each(batch) ? "decode" : "prefill",
                    start, done);
  }
  if (stages_[stage].has_head()) {
    // Each stage has its part of every row's vocabulary.
    const auto values = out.logits.floats();
    const auto width = stages_[stage].head_end - stages_[stage].head_begin;
    pass.rows.resize(index_of(batch.sampled()));
    auto from = values.begin();
    for (std::vector<float>& row : pass.rows) {
      row.insert(row.end(), from, from + width);
      from += width;
    }
    pass.logits = pass.rows.back();
  }
  return out;
}

void FunctionalPool::keep(std::int64_t tokens) {
  for (const auto& loaded : loaded_) loaded->keep(0, tokens);
}

void FunctionalPool::keep_path(std::int64_t tokens, std::span<const std::int64_t> places) {
  for (const auto& loaded : loaded_) loaded->keep_path(0, tokens, places);
}

void FunctionalPool::fork(std::int64_t to) {
  for (std::size_t s = 0; s < stages_.size(); ++s) {
    if (stages_[s].layers > 0) loaded_[s]->fork(0, to);
  }
}

PoolPass FunctionalPool::run(std::span<const std::int32_t> tokens, std::int64_t context,
                             Picoseconds start, std::int64_t verified, Tensor hidden,
                             TokenTree tree) {
  Batch batch;
  batch.slices.push_back({.request = 0,
                          .context = context,
                          .new_tokens = static_cast<std::int64_t>(tokens.size()),
                          .wants_logits = true,
                          .verified = verified,
                          .in_round = verified > 0});
  StageData data;
  data.tokens.assign(tokens.begin(), tokens.end());
  data.hidden = std::move(hidden);
  data.tree = std::move(tree);
  return run_batch(batch, std::move(data), start);
}

PoolPass FunctionalPool::run_batch(const Batch& batch, StageData data, Picoseconds start) {
  PoolPass pass;
  pass.end = start;
  Picoseconds ready = start;
  for (std::size_t s = 0; s < stages_.size();) {
    // Chips that hold only a share of the head all get the hidden state of the last layer.
    const std::size_t end = stages_[s].layers > 0 ? s + 1 : stages_.size();
    std::vector<Picoseconds> arrivals(end - s, ready);
    if (s > 0) arrivals = pass_hidden(s - 1, s, end, data, ready);
    Picoseconds floor{0};
    for (std::size_t t = s; t < end; ++t) {
      StageData out = run_stage(t, batch, data, arrivals[t - s], pass, floor);
      if (stages_[t].hands_on_hidden) pass.hidden = out.hidden;
      if (stages_[t].layers > 0) data.hidden = std::move(out.hidden);
    }
    pass.floor += floor;
    ready = pass.end;
    s = end;
  }
  return pass;
}

}  // namespace tandem
