#include "sim/config/config_parts.hpp"

#include <fmt/format.h>

#include "sim/core/hash.hpp"

namespace tandem {
namespace {

/// Ten digits: more than any source gives, and the same text for the same number.
ConfigPart values_of(const ParameterSet& parameters) {
  ConfigPart part;
  for (const auto& [key, parameter] : parameters.all()) {
    part[key] = fmt::format("{:.10g}", parameter.value);
  }
  return part;
}

ConfigPart hash_part(const Hasher& hasher) {
  return {{"hash", hasher.hex()}};
}

/// Which chips stand where, and what joins them.
ConfigPart system_part(const System& system) {
  ConfigPart part = values_of(system.parameters);
  for (const ChipGroup& group : system.groups) {
    part[group.pool] =
        fmt::format("{} {} in nodes of {}; {}; {}; {}", group.count, group.chip,
                    group.chips_per_node, group.link, group.scale_out, group.switch_kind);
  }
  for (const Bridge& bridge : system.bridges) {
    part[bridge.from + " to " + bridge.to] =
        fmt::format("{} lanes of {}", bridge.lanes, fmt::join(bridge.links, ", "));
  }
  return part;
}

void add_model(const NeuralNetwork& model, std::map<std::string, ConfigPart>& parts) {
  if (model.name.empty()) return;
  parts["models/" + model.name] = hash_part(Hasher().add(key_of(model)));
}

/// What the other parts do not say: placement, serving, traffic, SLO, seed.
Scenario without_parts(Scenario scenario) {
  scenario.system = {};
  scenario.model = {};
  scenario.draft_model = {};
  for (Deployment& deployment : scenario.deployments) {
    deployment.model = {};
    deployment.draft_model = {};
  }
  scenario.software = {};
  scenario.prices = {};
  return scenario;
}

}  // namespace

std::map<std::string, ConfigPart> config_parts(const Scenario& scenario) {
  std::map<std::string, ConfigPart> parts;
  for (const auto& [name, chip] : scenario.system.chips) {
    parts["chips/" + name] = values_of(chip.parameters);
  }
  for (const auto& [name, link] : scenario.system.links) {
    parts["links/" + name] = values_of(link.parameters);
  }
  parts["systems/" + scenario.system.name] = system_part(scenario.system);
  add_model(scenario.model, parts);
  add_model(scenario.draft_model, parts);
  for (const Deployment& deployment : scenario.deployments) add_model(deployment.model, parts);
  parts["software/" + scenario.software.name] = values_of(scenario.software.parameters);
  parts["prices/" + scenario.prices.name] = values_of(scenario.prices.parameters);
  parts["scenario"] = {{"hash", config_hash(without_parts(scenario))}};
  return parts;
}

}  // namespace tandem
