#include "sim/step/round_pool.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "sim/core/diagnostics.hpp"

namespace tandem {

std::vector<Weights> drafting_weights(const Speculation& speculation, const Weights& model,
                                      const Weights& draft_model) {
  if (speculation.method == DraftMethod::DraftModel) return {draft_model};
  if (speculation.method == DraftMethod::PromptLookup) return {};
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
  // Branches that are given up stand behind the text for the time of a pass.
  const Speculation& speculation = scenario.placement.speculation;
  const std::int64_t room =
      options.positions + (speculation.tree.empty() ? 0 : speculation.drafted());
  const auto pool_of = [&](const Weights& own, const PoolPlacement& formats, std::int64_t first) {
    return std::make_unique<FunctionalPool>(*chip_, formats, own, room, first, network,
                                            collectives_.get(), options.timeline);
  };
  model_ = pool_of(weights, placement, first_chip);
  const std::int64_t last_chip = model_->address(model_->stages().size() - 1).index;
  // On the last chips, which have the hidden states that modules go on from.
  PoolPlacement beside = placement;
  beside.pipeline = 1;
  beside.head_chips = 0;
  for (const Weights& own : drafting) {
    if (own.network.joins_hidden) {
      beside.precision = precision_of_module(placement.precision, weights.network.layers());
    }
    drafting_.push_back(pool_of(own, beside, last_chip));
  }
  if (!drafting_.empty()) require_room_for_all(placement, room);
}

void RoundPool::require_room_for_all(const PoolPlacement& placement, std::int64_t positions) const {
  const Neighbours neighbours{drafting_.front()->stages().front(),
                              static_cast<std::int64_t>(drafting_.size())};
  const Stage& stage = model_->stages().back();
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

}  // namespace tandem
