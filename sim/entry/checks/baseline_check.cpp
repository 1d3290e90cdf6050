#include "sim/entry/checks/baseline_check.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "sim/core/diagnostics.hpp"
#include "sim/entry/api.hpp"
#include "sim/entry/checks/moved_parts.hpp"

namespace tandem::entry {
namespace {

using Json = nlohmann::ordered_json;

/// The number at a dotted path of a result's summary.
double figure_of(const Json& result, const ExpectedFigure& figure) {
  const Json* at = &result["summary"];
  std::string rest = figure.key;
  while (!rest.empty()) {
    const std::size_t dot = rest.find('.');
    const std::string key = rest.substr(0, dot);
    rest = dot == std::string::npos ? "" : rest.substr(dot + 1);
    if (!at->is_object() || !at->contains(key)) {
      throw ConfigError(figure.place, fmt::format("the summary has no figure '{}'", figure.key));
    }
    at = &(*at)[key];
  }
  if (!at->is_number()) {
    throw ConfigError(figure.place, fmt::format("figure '{}' is not a number here", figure.key));
  }
  return at->get<double>();
}

EntryOutcome run_entry(const Baseline& baseline, const BaselineEntry& entry,
                       const std::string& store, const Context& context) {
  RunRequest request;
  request.scenario = entry.scenario;
  request.overrides = entry.overrides;
  request.store = store;
  const RunAnswer answer = run_scenario(context, request);
  const Json result = Json::parse(answer.json);
  EntryOutcome outcome;
  outcome.name = entry.name;
  outcome.config_hash = result["config_hash"];
  outcome.pass_s = answer.pass_s;
  outcome.parts = answer.parts;
  for (const ExpectedFigure& figure : entry.expected) {
    outcome.figures.push_back({figure, figure_of(result, figure)});
  }
  outcome.reasons = moved_parts(baseline, entry, outcome);
  return outcome;
}

EntryOutcome refused_entry(const BaselineEntry& entry, const ConfigError& error) {
  EntryOutcome outcome;
  outcome.name = entry.name;
  outcome.refusals = error.diagnostics();
  return outcome;
}

/// A part's name in the baseline: with the entry's before it where entries differ in the part.
void keep_part(Baseline& baseline, const std::string& entry, const std::string& name,
               const ConfigPart& part) {
  const auto [found, is_new] = baseline.parts.emplace(name, part);
  if (!is_new && found->second != part) baseline.parts[entry + ":" + name] = part;
}

}  // namespace

double Comparison::change() const {
  if (expected.value != 0) return actual / expected.value - 1;
  return actual == 0 ? 0 : std::numeric_limits<double>::infinity();
}

bool Comparison::holds() const {
  return std::abs(change()) <= expected.tolerance;
}

std::size_t EntryOutcome::moved() const {
  return static_cast<std::size_t>(std::count_if(
      figures.begin(), figures.end(), [](const Comparison& figure) { return !figure.holds(); }));
}

std::vector<EntryOutcome> check_baseline(const Baseline& baseline, const std::string& store,
                                         const Context& context) {
  std::vector<EntryOutcome> outcomes;
  Progress progress("check");
  for (const BaselineEntry& entry : baseline.entries) {
    progress.update(entry.name);
    try {
      outcomes.push_back(run_entry(baseline, entry, store, context));
    } catch (const ConfigError& error) {
      outcomes.push_back(refused_entry(entry, error));
    } catch (const ModelError& error) {
      outcomes.push_back(refused_entry(entry, ConfigError(error.what())));
    }
  }
  return outcomes;
}

std::pair<Baseline, std::vector<std::string>> updated(Baseline baseline,
                                                      const std::vector<EntryOutcome>& outcomes,
                                                      const std::string& reason) {
  constexpr double noise = 1e-6;
  BaselineUpdate update{reason, {}};
  baseline.parts.clear();
  for (std::size_t i = 0; i < outcomes.size(); ++i) {
    BaselineEntry& entry = baseline.entries[i];
    const EntryOutcome& outcome = outcomes[i];
    entry.config_hash = outcome.config_hash;
    entry.pass_s = outcome.pass_s;
    for (const auto& [name, part] : outcome.parts) keep_part(baseline, entry.name, name, part);
    for (std::size_t f = 0; f < outcome.figures.size(); ++f) {
      const Comparison& figure = outcome.figures[f];
      entry.expected[f].value = figure.actual;
      if (std::abs(figure.change()) < noise) continue;
      update.moved.push_back(fmt::format("{} {}: {:.6g} -> {:.6g}", entry.name, figure.expected.key,
                                         figure.expected.value, figure.actual));
    }
  }
  if (!update.moved.empty()) baseline.history.push_back(update);
  return {std::move(baseline), std::move(update.moved)};
}

}  // namespace tandem::entry
