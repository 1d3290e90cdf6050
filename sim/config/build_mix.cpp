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
  const std::vector<double>& thresholds = scenario.routing.thresholds;
  const std::size_t needed = scenario.deployments.size() - 1;
  if (thresholds.size() != needed) {
    problems.report(place_in(routing, "thresholds"),
                    fmt::format("'thresholds' has {} numbers; {} models need {}, one per model but "
                                "the last",
                                thresholds.size(), needed + 1, needed));
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
  if (!scenario.traffic.has_groups()) return;
  problems.report(models.place,
                  "'branches', 'agents' and 'rounds' are for scenarios of one model; "
                  "leave them out of the traffic");
}

}  // namespace

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
  if (scenario.routing.policy == RoutingPolicy::Share) {
    check_shares(scenario, tree, problems);
  } else {
    check_thresholds(scenario, tree, problems);
  }
}

}  // namespace tandem::config
