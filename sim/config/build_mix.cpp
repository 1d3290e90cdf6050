// Several models on one system: who answers, and whether they go together.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "sim/config/build.hpp"
#include "sim/config/check_scenario.hpp"
#include "sim/config/loader.hpp"

namespace tandem::config {
namespace {

SourcePlace place_in(const Tree& tree, const char* key) {
  const Tree* value = tree.find(key);
  return value == nullptr ? tree.place : value->place;
}

/// Results call pools NAME.prefill and so on.
void check_names(const Scenario& scenario, const Tree& models, Problems& problems) {
  const std::set<std::string> phases = {"prefill", "decode", "draft", "verify", "ffn"};
  std::set<std::string> known;
  for (std::size_t i = 0; i < models.items.size(); ++i) {
    const std::string& name = scenario.deployments[i].name;
    if (name.empty()) continue;  // reported as missing
    const SourcePlace place = place_in(models.items[i], "name");
    if (!known.insert(name).second) {
      problems.report(place, fmt::format("two models are called '{}'; give each a name", name));
    }
    const bool is_word = std::ranges::all_of(
        name, [](const unsigned char c) { return std::isalnum(c) != 0 || c == '_' || c == '-'; });
    if (!is_word || phases.contains(name)) {
      problems.report(place, fmt::format("'{}' cannot name a model; write letters, digits, '_' and "
                                         "'-', and no phase of a placement",
                                         name));
    }
  }
}

void check_shares(const Scenario& scenario, const Tree& tree, Problems& problems) {
  double sum = 0;
  for (const Deployment& deployment : scenario.deployments) sum += deployment.share;
  constexpr double rounding = 1e-9;
  if (std::abs(sum - 1) > rounding) {
    problems.report(tree.find("models")->place,
                    fmt::format("the shares of the models add up to {:.6g}; with 'policy: share' "
                                "they must add up to 1",
                                sum));
  }
  const Tree* routing = tree.find("routing");
  if (routing == nullptr || routing->find("thresholds") == nullptr) return;
  problems.report(routing->find("thresholds")->place,
                  "'thresholds' is for the policies threshold and cascade; leave it out");
}

void check_thresholds(const Scenario& scenario, const Tree& tree, Problems& problems) {
  for (const Tree& item : tree.find("models")->items) {
    const Tree* share = item.find("share");
    if (share == nullptr) continue;
    problems.report(share->place, "'share' is for 'policy: share'; leave it out");
  }
  const Tree& routing = *tree.find("routing");
  const Tree* list = routing.find("thresholds");
  const std::vector<double>& thresholds = scenario.routing.thresholds;
  const std::size_t written = list == nullptr ? 0 : list->is_sequence() ? list->items.size() : 1;
  const bool is_reported = list != nullptr && (written == 0 || thresholds.size() != written);
  if (is_reported) return;
  const std::size_t needed = scenario.deployments.size() - 1;
  if (written != needed) {
    problems.report(place_in(routing, "thresholds"),
                    fmt::format("'thresholds' has {} numbers; {} models need {}, one per model but "
                                "the last",
                                written, needed + 1, needed));
  }
  if (!std::ranges::is_sorted(thresholds)) {
    problems.report(place_in(routing, "thresholds"), "'thresholds' must rise from model to model");
  }
}

void check_models(const Scenario& scenario, const Tree& models, Problems& problems) {
  for (std::size_t i = 0; i < models.items.size(); ++i) {
    if (scenario.deployments[i].model.name != from_checkpoint) continue;
    const Tree* model = models.items[i].find("model");
    if (model == nullptr || model->text != from_checkpoint) continue;
    problems.report(model->place, "models of a mix are timed only; name one, e.g. 'llama-3.1-8b'");
  }
  if (scenario.traffic.has_warm_up()) {
    problems.report(models.place,
                    "'warm_up' is for scenarios of one model; leave it out of the traffic");
  }
  if (!scenario.traffic.has_groups() && !scenario.traffic.has_sessions()) return;
  problems.report(models.place,
                  "'branches', 'agents', 'rounds' and 'turns' are for scenarios of one model; "
                  "leave them out of the traffic");
}

/// Why a deployment cannot have tiers; empty where it can.
std::string tier_problem(const Scenario& mix, const Deployment& host) {
  const PoolPlacement& pool = host.placement.prefill;
  if (host.host) return "is a tier itself; name the model that has the placement";
  if (host.placement.mode != PlacementMode::Monolithic || host.placement.speculation.is_on()) {
    return "is not of mode monolithic without speculation, which tiers need";
  }
  if (pool.pipeline > 1 || pool.head_chips > 0) {
    return "is a pipeline; tiers need 'pipeline: 1'";
  }
  for (const ChipGroup& group : mix.system.groups) {
    const auto chip = mix.system.chips.find(group.chip);
    const bool is_lpu = chip != mix.system.chips.end() && chip->second.model == "lpu";
    if (group.pool == pool.pool && is_lpu) {
      return "stands on LPUs, whose programs hold one set of weights; give the tier chips of its "
             "own";
    }
  }
  return "";
}

bool has_same_cache(const Precision& a, const Precision& b) {
  return a.kv_cache == b.kv_cache && a.kv_format == b.kv_format;
}

}  // namespace

void build_tier(const MapReader& reader, const Tree& tree, const Scenario& mix,
                Deployment& deployment, ReadContext& context) {
  const std::set<std::string> keys = {"model", "draft_model", "placement", "speculation",
                                      "serving"};
  for (const TreeEntry& entry : tree.entries) {
    if (!keys.contains(entry.key)) continue;
    context.problems.report(
        entry.key_place,
        fmt::format("'{}' does not go with 'on': a tier has that of the model it names",
                    entry.key));
  }
  const std::string name = reader.text("on");
  const auto found = std::ranges::find(mix.deployments, name, &Deployment::name);
  if (found == mix.deployments.end()) {
    return reader.report("on", fmt::format("no model before this one is called '{}'", name));
  }
  const std::string problem = tier_problem(mix, *found);
  if (!problem.empty()) return reader.report("on", fmt::format("'{}' {}", name, problem));
  const Precision precision = build_precision(reader.child("precision"), context);
  if (!has_same_cache(precision, found->placement.prefill.precision)) {
    reader.report("precision", fmt::format("the tiers on one pool share its KV cache; write the "
                                           "'kv_cache' of '{}'",
                                           name));
  }
  deployment.host = static_cast<std::size_t>(found - mix.deployments.begin());
  deployment.model = found->model;
  deployment.placement = found->placement;
  deployment.serving = found->serving;
  for (PoolPlacement* pool : {&deployment.placement.prefill, &deployment.placement.decode}) {
    pool->precision = precision;
    pool->place = tree.place;
  }
}

void join_tiers(Scenario& mix) {
  std::vector<Deployment>& all = mix.deployments;
  for (std::size_t i = 0; i < all.size(); ++i) {
    for (std::size_t j = 0; j < all.size(); ++j) {
      if (i == j || all[i].host.value_or(i) != all[j].host.value_or(j)) continue;
      const Precision other = all[j].placement.prefill.precision;
      all[i].placement.prefill.tiers.push_back(other);
      all[i].placement.decode.tiers.push_back(other);
    }
  }
}

ModelRouting build_routing(const Tree& tree, ReadContext& context) {
  const MapReader reader(tree, routing_section(), "routing", context);
  ModelRouting routing;
  if (!tree.is_map()) return routing;
  routing.policy = reader.choice<RoutingPolicy>("policy", {{"share", RoutingPolicy::Share},
                                                           {"threshold", RoutingPolicy::Threshold},
                                                           {"cascade", RoutingPolicy::Cascade}});
  if (const Tree* thresholds = reader.child("thresholds")) {
    routing.thresholds =
        read_numbers(*thresholds, {"thresholds", Dimension::Fraction, "", std::nullopt, 0, 1},
                     "model but the last", "[0.6, 0.9]", context);
  }
  return routing;
}

void check_mix(const Scenario& scenario, const Tree& tree, Problems& problems) {
  const Tree& models = *tree.find("models");
  if (models.items.size() < 2) {
    problems.report(models.place,
                    "'models' is a list of two models or more, e.g. '- {name: small, model: "
                    "llama-3.1-8b, share: 0.8, placement: ...}'; one model stands under 'model'");
    return;
  }
  check_names(scenario, models, problems);
  check_models(scenario, models, problems);
  const Tree* routing = tree.find("routing");
  if (routing != nullptr && problems.has(place_in(*routing, "policy"))) return;
  if (scenario.routing.policy == RoutingPolicy::Share) {
    check_shares(scenario, tree, problems);
  } else {
    check_thresholds(scenario, tree, problems);
  }
}

}  // namespace tandem::config
