#include "sim/entry/checks/baseline_check.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "sim/core/diagnostics.hpp"
#include "sim/entry/api.hpp"
#include "sim/entry/checks/moved_parts.hpp"
#include "sim/entry/mistakes.hpp"
#include "sim/entry/sweeps/sweep_figures.hpp"
#include "sim/entry/sweeps/sweep_tasks.hpp"

namespace tandem::entry {
namespace {

using Json = nlohmann::ordered_json;

/// Names that no scenario or figure has, before anything runs. What is wrong with a scenario's own
/// file is left to its run, behind which the others run.
void throw_mistakes(const Baseline& baseline, const Context& context) {
  Mistakes mistakes;
  mistakes.add(baseline.mistakes);
  const Loader loader = context.loader.remembering();
  const std::vector<std::string>& figures = summary_figures();
  for (const BaselineEntry& entry : baseline.entries) {
    for (const ExpectedFigure& figure : entry.expected) {
      if (std::find(figures.begin(), figures.end(), figure.key) != figures.end()) continue;
      mistakes.add(figure.place, fmt::format("there is no figure '{}'{}", figure.key,
                                             near_figure(figure.key, figures)));
    }
    if (entry.point.scenario.empty()) continue;
    try {
      (void)loader.scenario(entry.point.scenario, point_overrides(entry.point));
    } catch (const RefusedError&) {
    } catch (const ConfigError& error) {
      for (const Diagnostic& d : error.diagnostics()) {
        const SourcePlace place = place_in_file(entry.point, d.place);
        if (place.file == baseline.file) mistakes.add(place, d.message);
      }
    }
  }
  mistakes.throw_if_any();
}

EntryOutcome run_entry(const Baseline& baseline, const BaselineEntry& entry,
                       const std::string& store, const Context& context) {
  RunRequest request;
  request.scenario = entry.point.scenario;
  request.overrides = point_overrides(entry.point);
  request.store = store;
  const RunAnswer answer = run_scenario(context, request);
  EntryOutcome outcome;
  outcome.name = entry.name;
  const ResultFigures figures = read_figures(answer.json);
  for (const ExpectedFigure& expected : entry.expected) {
    const auto figure = figures.values.find(expected.key);
    if (figure != figures.values.end()) {
      outcome.figures.push_back({expected, figure->second});
    } else {
      outcome.refusals.push_back(
          {expected.place, fmt::format("'{}' has no value in this run", expected.key)});
    }
  }
  if (!outcome.refusals.empty()) {
    outcome.figures.clear();
    return outcome;
  }
  outcome.config_hash = Json::parse(answer.json)["config_hash"];
  outcome.pass_s = answer.pass_s;
  outcome.parts = answer.parts;
  outcome.reasons = moved_parts(baseline, entry, outcome);
  return outcome;
}

EntryOutcome refused_entry(const BaselineEntry& entry, const ConfigError& error) {
  EntryOutcome outcome;
  outcome.name = entry.name;
  for (const Diagnostic& d : error.diagnostics()) {
    outcome.refusals.push_back({place_in_file(entry.point, d.place), d.message});
  }
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
  throw_mistakes(baseline, context);
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
