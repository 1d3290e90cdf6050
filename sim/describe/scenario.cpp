#include "sim/describe/scenario.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace tandem {

const ChipGroup& System::group(const std::string& pool) const {
  for (const ChipGroup& candidate : groups) {
    if (candidate.pool == pool) return candidate;
  }
  throw ModelError(fmt::format("system '{}' has no pool '{}'", name, pool));
}

Scenario verifying_side(const Scenario& scenario) {
  const Speculation& speculation = scenario.placement.speculation;
  Scenario side = scenario;
  side.traffic.output_tokens += speculation.drafted();
  Placement& placement = side.placement;
  for (PoolPlacement* pool : {&placement.prefill, &placement.decode, &placement.draft}) {
    pool->revocable = speculation.drafted();
    pool->hands_on_hidden = speculation.method == DraftMethod::Modules;
  }
  return side;
}

Precision precision_of_module(Precision precision, std::int64_t layers) {
  std::vector<WeightOverride> own;
  for (WeightOverride one : precision.overrides) {
    if (one.first_layer > layers || one.last_layer < layers) continue;
    one.first_layer = 0;
    own.push_back(one);
  }
  precision.overrides = std::move(own);
  return precision;
}

Scenario drafting_side(const Scenario& scenario) {
  Scenario side = verifying_side(scenario);
  const bool uses_modules = scenario.placement.speculation.method == DraftMethod::Modules;
  side.model = uses_modules ? module_of(scenario.model) : scenario.draft_model;
  if (scenario.placement.drafts_in_place()) {
    for (PoolPlacement* pool : {&side.placement.prefill, &side.placement.decode}) {
      pool->pipeline = 1;
      pool->head_chips = 0;
    }
  }
  side.placement.speculation = {};
  if (!uses_modules) return side;
  for (PoolPlacement* pool : {&side.placement.prefill, &side.placement.decode}) {
    pool->precision = precision_of_module(pool->precision, scenario.model.layers());
  }
  return side;
}

std::int64_t drafting_copies(const Scenario& scenario) {
  const Speculation& speculation = scenario.placement.speculation;
  if (speculation.method == DraftMethod::PromptLookup) return 0;
  if (speculation.method != DraftMethod::Modules) return 1;
  return std::min(scenario.model.mtp.modules, speculation.drafts);
}

std::string name_of_drafter(const Scenario& scenario) {
  if (scenario.placement.speculation.method == DraftMethod::PromptLookup) return "prompt look-up";
  return drafting_side(scenario).model.name;
}

}  // namespace tandem
