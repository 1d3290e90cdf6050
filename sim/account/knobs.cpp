#include "sim/account/knobs.hpp"

#include <algorithm>

namespace tandem {
namespace {

void add_knobs(const std::string& prefix, const ParameterSet& parameters, const std::string& chip,
               bool is_physical, const std::function<ParameterSet&(Scenario&)>& where,
               std::vector<Knob>& knobs) {
  for (const auto& [name, parameter] : parameters.all()) {
    if (parameter.source.empty()) continue;
    knobs.push_back({prefix + name, parameter, chip, is_physical,
                     [name = name, parameter = parameter, where](Scenario& scenario, double value) {
                       Parameter changed = parameter;
                       changed.value = value;
                       where(scenario).set(name, changed);
                     }});
  }
}

bool is_placed(const RunResult& result, const std::string& chip) {
  return std::any_of(result.pools.begin(), result.pools.end(),
                     [&](const PoolUse& pool) { return pool.chip == chip; });
}

}  // namespace

std::vector<Knob> knobs_of(const Scenario& scenario, const RunResult& result) {
  std::vector<Knob> knobs;
  for (const auto& [name, chip] : scenario.system.chips) {
    if (!is_placed(result, name)) continue;
    add_knobs(
        "chips." + name + ".", chip.parameters, name, true,
        [name = name](Scenario& s) -> ParameterSet& { return s.system.chips.at(name).parameters; },
        knobs);
  }
  for (const auto& [name, link] : scenario.system.links) {
    add_knobs(
        "links." + name + ".", link.parameters, any_chip, true,
        [name = name](Scenario& s) -> ParameterSet& { return s.system.links.at(name).parameters; },
        knobs);
  }
  add_knobs(
      "system.", scenario.system.parameters, any_chip, false,
      [](Scenario& s) -> ParameterSet& { return s.system.parameters; }, knobs);
  add_knobs(
      "prices.", scenario.prices.parameters, any_chip, false,
      [](Scenario& s) -> ParameterSet& { return s.prices.parameters; }, knobs);
  return knobs;
}

}  // namespace tandem
