#include "sim/describe/scenario.hpp"

#include <fmt/format.h>

#include <algorithm>

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

Scenario drafting_side(const Scenario& scenario) {
  Scenario side = verifying_side(scenario);
  const bool uses_modules = scenario.placement.speculation.method == DraftMethod::Modules;
  side.model = uses_modules ? module_of(scenario.model) : scenario.draft_model;
  side.placement.speculation = {};
  return side;
}

std::int64_t drafting_copies(const Scenario& scenario) {
  const Speculation& speculation = scenario.placement.speculation;
  if (speculation.method != DraftMethod::Modules) return 1;
  return std::min(scenario.model.mtp.modules, speculation.drafts);
}

}  // namespace tandem
