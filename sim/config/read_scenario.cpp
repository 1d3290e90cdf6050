#include "sim/config/read_scenario.hpp"

#include <fmt/format.h>

#include <set>
#include <string>

#include "sim/config/build.hpp"
#include "sim/config/check_prices.hpp"
#include "sim/config/check_scenario.hpp"

namespace tandem::config {
namespace {

/// The map under `key`; null when it is missing or could not be put in place (reported before).
const Tree* part(const Tree& tree, const char* key) {
  const Tree* found = tree.find(key);
  return found != nullptr && found->is_map() ? found : nullptr;
}

std::string name_in(const Tree& tree) {
  const Tree* name = tree.find("name");
  return name == nullptr ? std::string{} : name->text;
}

NeuralNetwork build_model(const Tree& tree, const char* key, ReadContext& context) {
  const Tree* model = tree.find(key);
  NeuralNetwork network;
  if (model != nullptr && model->is_scalar()) network.name = from_checkpoint;
  if (model == nullptr || !model->is_map()) return network;
  return build_network(*model, name_in(*model), context);
}

/// True where the traffic is well-formed.
bool build_load(const Tree& tree, Scenario& scenario, ReadContext& context) {
  const std::size_t before = context.problems.size();
  const Tree* traffic = part(tree, "traffic");
  if (traffic == nullptr) return false;
  scenario.traffic = build_traffic(*traffic, context);
  return context.problems.size() == before;
}

/// What stands beside the models and their load.
void build_frame(const Assembled& assembled, Scenario& scenario, ReadContext& context) {
  const Tree& tree = assembled.tree;
  if (const Tree* slo = tree.find("slo")) scenario.slo = build_slo(*slo, context);
  if (const Tree* prices = part(tree, "prices")) {
    scenario.prices = build_prices(*prices, name_in(*prices), &scenario.system, context);
    // Of a system that could not be read the chips are not known.
    if (!scenario.system.chips.empty()) {
      check_own_prices(*prices, scenario.system, assembled.files, context);
    }
  }
  if (const Tree* software = part(tree, "software")) {
    scenario.software = build_software(*software, name_in(*software), context);
  }
}

void build_engine(const Tree& tree, Scenario& scenario, ReadContext& context) {
  if (const Tree* serving = tree.find("serving")) {
    scenario.serving = build_serving(*serving, context);
  }
  Placement& placement = scenario.placement;
  for (PoolPlacement* pool : {&placement.prefill, &placement.decode}) {
    pool->eviction = scenario.serving.eviction;
  }
}

/// A placement, checked against the rest unless it is wrong already. `taken`: chips of earlier
/// models; its own are added.
void build_and_check_placement(const Tree& tree, Scenario& scenario, ChipsWanted& taken,
                               ReadContext& context) {
  const std::size_t before = context.problems.size();
  const Tree* placement = tree.find("placement");
  if (placement == nullptr) return;
  scenario.placement = build_placement(*placement, context);
  if (const Tree* speculation = tree.find("speculation")) {
    build_speculation_in_place(*speculation, scenario.placement, context);
  }
  const CombinationChecks checks(context.problems);
  check_gangs(scenario, *placement, context.problems);
  if (context.problems.size() == before && !scenario.system.groups.empty()) {
    check_placement(scenario, *placement, taken, context.problems);
  }
}

/// A model with its placement and serving, from the map that their keys stand in; `root` is that of
/// the scenario.
void build_one_model(const Tree& tree, const Tree& root, const Tree* traffic, Scenario& scenario,
                     ChipsWanted& taken, ReadContext& context) {
  scenario.model = build_model(tree, "model", context);
  scenario.draft_model = build_model(tree, "draft_model", context);
  build_and_check_placement(tree, scenario, taken, context);
  build_engine(tree, scenario, context);
  const CombinationChecks checks(context.problems);
  if (traffic != nullptr) {
    fit_trace(scenario, *traffic, context);
    check_lengths(scenario, *traffic, context.problems);
  }
  check_speculation(scenario, tree, context.problems);
  const Tree& engine = tree.find("serving") == nullptr ? root : tree;
  check_eviction(scenario, engine, context.problems);
  check_cascade(scenario, engine, context.problems);
  check_tiers(scenario, engine, context.problems);
  check_policy(scenario, engine, context.problems);
  check_step_limits(scenario, engine, context.problems);
  check_router(scenario, engine, context.problems);
  check_planner(scenario, engine, context.problems);
  check_prefix_cache(scenario, root, context.problems);
}

/// A tier has no model and placement of its own.
Section section_of_deployment(const Tree& tree) {
  Section section = deployment_section();
  const bool is_tier = tree.is_map() && tree.find("on") != nullptr;
  for (KeySpec& key : section.keys) {
    if (key.name == "model" || key.name == "placement") key.is_required = !is_tier;
  }
  return section;
}

/// Leaves out of the mix's traffic what is too long for this model, where the file says so.
Deployment build_deployment(const Tree& tree, const Tree& root, Scenario& mix, const Tree* traffic,
                            ChipsWanted& taken, ReadContext& context) {
  const MapReader reader(tree, section_of_deployment(tree), "an entry of 'models'", context);
  Deployment deployment;
  deployment.place = tree.place;
  if (!tree.is_map()) return deployment;
  deployment.name = reader.text("name");
  deployment.share = reader.number("share");
  if (reader.has("on")) {
    build_tier(reader, tree, mix, deployment, context);
    return deployment;
  }
  if (reader.has("precision")) {
    reader.report("precision", "'precision' is for tiers with 'on'; write it in the placement");
  }
  Scenario side = mix;
  build_one_model(tree, root, traffic, side, taken, context);
  deployment.model = std::move(side.model);
  deployment.draft_model = std::move(side.draft_model);
  deployment.placement = std::move(side.placement);
  deployment.serving = side.serving;
  mix.traffic = std::move(side.traffic);
  return deployment;
}

/// Keys of one model that stand beside `models`.
void refuse_keys_of_one(const Tree& tree, Problems& problems) {
  const std::set<std::string> keys = {"model", "draft_model", "placement", "speculation"};
  for (const TreeEntry& entry : tree.entries) {
    if (!keys.contains(entry.key)) continue;
    problems.report(entry.key_place,
                    fmt::format("'{}' does not go with 'models'; write it in the entries of "
                                "'models'",
                                entry.key));
  }
}

void build_mix(const Tree& tree, const Tree* traffic, Scenario& scenario, ReadContext& context) {
  refuse_keys_of_one(tree, context.problems);
  build_engine(tree, scenario, context);
  const Tree& models = *tree.find("models");
  ChipsWanted taken;
  for (const Tree& item : models.items) {
    scenario.deployments.push_back(build_deployment(item, tree, scenario, traffic, taken, context));
  }
  if (const Tree* routing = tree.find("routing")) {
    scenario.routing = build_routing(*routing, context);
  }
  join_tiers(scenario);
  const CombinationChecks checks(context.problems);
  check_mix(scenario, tree, context.problems);
}

/// `model` and `placement` are needed where there is no list of models.
Section section_of(const Tree& tree) {
  Section section = scenario_section();
  if (tree.find("models") == nullptr) return section;
  for (KeySpec& key : section.keys) {
    if (key.name == "model" || key.name == "placement") key.is_required = false;
  }
  return section;
}

}  // namespace

Scenario read_scenario(const Assembled& assembled, ReadContext& context) {
  const Tree& tree = assembled.tree;
  const MapReader reader(tree, section_of(tree), fmt::format("scenario '{}'", assembled.name),
                         context);
  Scenario scenario;
  scenario.name = assembled.name;
  scenario.file = assembled.file;
  if (const Tree* system = part(tree, "system")) {
    scenario.system = build_system(*system, name_in(*system), assembled.chip_files, context);
  }
  const bool has_traffic = build_load(tree, scenario, context);
  const Tree* traffic = has_traffic ? tree.find("traffic") : nullptr;
  ChipsWanted taken;
  if (tree.find("models") != nullptr) {
    build_mix(tree, traffic, scenario, context);
  } else {
    build_one_model(tree, tree, traffic, scenario, taken, context);
    if (const Tree* routing = tree.find("routing")) {
      context.problems.report(routing->place, "'routing' is for several 'models'; leave it out");
    }
  }
  build_frame(assembled, scenario, context);
  scenario.seed = static_cast<std::uint64_t>(reader.count("seed"));
  scenario.audit_steps = reader.count("audit_steps");
  return scenario;
}

}  // namespace tandem::config
