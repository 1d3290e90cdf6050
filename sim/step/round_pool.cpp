#include "sim/step/round_pool.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "sim/core/diagnostics.hpp"

namespace tandem {

std::vector<Weights> drafting_weights(const Speculation& speculation, const Weights& model,
                                      const Weights& draft_model) {
  if (speculation.method == DraftMethod::DraftModel) return {draft_model};
  std::vector<Weights> modules;
  for (std::int64_t i = 0; i < std::min(model.network.mtp.modules, speculation.drafts); ++i) {
    modules.push_back(weights_of_module(model, i));
  }
  return modules;
}

RoundPool::RoundPool(const Scenario& scenario, const PoolPlacement& placement,
                     const Catalogue& catalogue, const NetworkFactory& make_network,
                     const Weights& weights, const std::vector<Weights>& drafting,
                     const GenerateOptions& options, std::int64_t first_chip, NetworkModel& network)
    : collectives_(placement.gang() > 1 && make_network.has_collectives()
                       ? make_network.collectives(scenario.system, scenario.software)
                       : nullptr),
      chip_(make_chip_model(scenario, catalogue, placement.pool)) {
  const auto pool_of = [&](const Weights& own, const PoolPlacement& formats) {
    return std::make_unique<FunctionalPool>(*chip_, formats, own, options.positions, first_chip,
                                            network, collectives_.get(), options.timeline);
  };
  model_ = pool_of(weights, placement);
  PoolPlacement beside = placement;
  for (const Weights& own : drafting) {
    if (own.network.joins_hidden) {
      beside.precision = precision_of_module(placement.precision, weights.network.layers());
    }
    drafting_.push_back(pool_of(own, beside));
  }
  require_room_for_all(placement, options.positions);
}

void RoundPool::require_room_for_all(const PoolPlacement& placement, std::int64_t positions) const {
  const Neighbours neighbours{drafting_.front()->stages().front(),
                              static_cast<std::int64_t>(drafting_.size())};
  const Stage& stage = model_->stages().front();
  if (chip_->fit_beside(stage, neighbours, 1, positions).sequences(positions) >= 1) return;
  throw ConfigError(placement.place,
                    fmt::format("a {} of pool '{}' has no room for {} and what drafts for it; "
                                "share layers by 'tensor'",
                                chip_->chip().name, placement.pool, stage.network.name));
}

std::vector<FunctionalPool*> RoundPool::drafting() {
  std::vector<FunctionalPool*> pools;
  for (const auto& pool : drafting_) pools.push_back(pool.get());
  return pools;
}

std::vector<FunctionalPool*> RoundPool::all() {
  std::vector<FunctionalPool*> pools = drafting();
  pools.insert(pools.begin(), model_.get());
  return pools;
}

void RoundPool::add_to(GenerateResult& result) const {
  const auto add = [&](const FunctionalPool& pool) {
    for (const auto& [name, cycles] : pool.cycles()) result.chip_cycles[name] += cycles;
    const std::vector<Transfer> messages = pool.transfers();
    result.transfers.insert(result.transfers.end(), messages.begin(), messages.end());
  };
  add(*model_);
  for (const auto& pool : drafting_) add(*pool);
}

Picoseconds move_kv(RoundPool& from, RoundPool& to, ElementType type, NetworkModel& network,
                    Picoseconds start, GenerateResult& result) {
  const std::vector<FunctionalPool*> senders = from.all();
  const std::vector<FunctionalPool*> receivers = to.all();
  std::vector<KvBlock> blocks;
  std::vector<Parcel> parcels;
  for (FunctionalPool* sender : senders) {
    blocks.push_back(sender->loaded(0).export_kv(0).converted(type));
    parcels.push_back({sender->address(0), receivers[blocks.size() - 1]->address(0),
                       std::make_shared<const std::vector<std::byte>>(blocks.back().bytes)});
  }
  result.kv_sent.push_back(blocks.front());
  const auto deliveries = send_and_wait(network, start, parcels);
  Picoseconds all_there = start;
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    blocks[i].bytes.assign(deliveries[i].payload->begin(), deliveries[i].payload->end());
    receivers[i]->loaded(0).import_kv(0, blocks[i]);
    result.transfers.push_back({chip_name(parcels[i].from), chip_name(parcels[i].to), "kv",
                                blocks[i].expected_size(), start, deliveries[i].time});
    all_there = std::max(all_there, deliveries[i].time);
  }
  result.kv_received.push_back(blocks.front());
  return all_there;
}

}  // namespace tandem
