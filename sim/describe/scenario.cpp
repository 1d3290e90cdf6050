#include "sim/describe/scenario.hpp"

#include <fmt/format.h>

namespace tandem {

const ChipGroup& System::group(const std::string& pool) const {
  for (const ChipGroup& candidate : groups) {
    if (candidate.pool == pool) return candidate;
  }
  throw ModelError(fmt::format("system '{}' has no pool '{}'", name, pool));
}

Scenario verifying_side(const Scenario& scenario) {
  Scenario side = scenario;
  side.traffic.output_tokens += scenario.placement.speculation.drafts;
  return side;
}

Scenario drafting_side(const Scenario& scenario) {
  Scenario side = verifying_side(scenario);
  side.model = scenario.draft_model;
  return side;
}

}  // namespace tandem
