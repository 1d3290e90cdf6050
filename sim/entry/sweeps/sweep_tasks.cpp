#include "sim/entry/sweeps/sweep_tasks.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "sim/core/diagnostics.hpp"
#include "sim/core/hash.hpp"
#include "sim/entry/api.hpp"
#include "sim/entry/mistakes.hpp"
#include "sim/entry/sweeps/sweep_figures.hpp"

namespace tandem::entry {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::int64_t pooled_audit_steps = 300;
constexpr std::int64_t least_audit_steps = 10;

/// What names stand for at a point: its paths, `chips`, `racks` and, once it ran, its figures.
ValueOf values_of(const std::map<std::string, std::string>& paths,
                  const std::map<std::string, double>& figures) {
  return [&](const std::string& name) -> std::optional<ExpressionValue> {
    const auto path = paths.find(name);
    if (path != paths.end()) return value_of_text(path->second);
    const auto figure = figures.find(name);
    if (figure == figures.end()) return std::nullopt;
    return value_of_figure(name, figure->second);
  };
}

std::map<std::string, std::string> paths_of(const SweepPoint& point) {
  std::map<std::string, std::string> paths;
  for (const SweepChange& change : point.changes) paths[change.change.path] = change.change.value;
  return paths;
}

void check_names(const Sweep& sweep, Mistakes& mistakes) {
  std::vector<std::string> figures = known_figures();
  for (const char* name : {"chips", "racks"}) figures.emplace_back(name);
  std::set<std::string> known(figures.begin(), figures.end());
  known.insert(sweep.written_keys.begin(), sweep.written_keys.end());
  for (const SweepPoint& point : sweep.points) {
    for (const SweepChange& change : point.changes) known.insert(change.change.path);
  }
  for (const Expression& constraint : sweep.constraints) {
    for (const std::string& name : constraint.names()) {
      if (known.contains(name)) continue;
      mistakes.add(constraint.place(),
                   fmt::format("'{}' is neither a path of this sweep nor a figure{}", name,
                               near_figure(name, {known.begin(), known.end()})));
    }
  }
  for (const Objective& objective : sweep.objectives) {
    if (std::find(figures.begin(), figures.end(), objective.figure) != figures.end()) continue;
    mistakes.add(objective.place, fmt::format("there is no figure '{}'{}", objective.figure,
                                              near_figure(objective.figure, figures)));
  }
}

/// Figures of energy, which the analytical clock does not count: no point could keep or reach them.
void check_clock(const Sweep& sweep, const SweepOptions& options, Mistakes& mistakes) {
  if (options.fidelity != "analytical") return;
  const auto add = [&](const SourcePlace& place, const std::string& figure) {
    for (const char* part : {"energy_j", "_power_w", "_per_mw", "carbon_g"}) {
      if (figure.find(part) == std::string::npos) continue;
      mistakes.add(place, fmt::format("the analytical clock counts no energy, so '{}' is never "
                                      "known; use the clock 'cycle', or leave it out",
                                      figure));
    }
  };
  for (const Expression& constraint : sweep.constraints) {
    for (const std::string& name : constraint.names()) add(constraint.place(), name);
  }
  for (const Objective& objective : sweep.objectives) add(objective.place, objective.figure);
}

/// Whether constraints compare like with like at every point, whatever a run gives.
void check_dimensions(const Sweep& sweep, Mistakes& mistakes) {
  std::map<std::string, double> ones{{"chips", 1}, {"racks", 1}};
  for (const std::string& figure : known_figures()) ones[figure] = 1;
  // What has no points for its mistakes still has figures.
  const std::vector<SweepPoint> none(sweep.points.empty() ? 1 : 0);
  for (const Expression& constraint : sweep.constraints) {
    for (const SweepPoint& point : sweep.points.empty() ? none : sweep.points) {
      const auto mismatch = constraint.mismatch(values_of(paths_of(point), ones));
      if (!mismatch) continue;
      mistakes.add(constraint.place(),
                   fmt::format("the constraint '{}': {}", constraint.text(), *mismatch));
      break;
    }
  }
}

std::int64_t audit_steps_of(const Sweep& sweep) {
  const auto points = static_cast<std::int64_t>(std::max<std::size_t>(1, sweep.points.size()));
  return std::max(least_audit_steps, (pooled_audit_steps + points - 1) / points);
}

std::vector<Override> audited_overrides_of(const SweepPoint& point, std::int64_t audit_steps) {
  std::vector<Override> overrides = point_overrides(point);
  overrides.insert(overrides.begin(), {"audit_steps", std::to_string(audit_steps)});
  return overrides;
}

std::string text_of(const SweepPoint& point) {
  std::vector<std::string> parts;
  for (const SweepChange& change : point.changes) {
    parts.push_back(change.change.path + "=" + change.change.value);
  }
  return fmt::format("{}", fmt::join(parts, "; "));
}

/// The texts of what a result of a scenario must hold.
std::vector<std::string> constraints_of(const Sweep& sweep, const Scenario& scenario) {
  std::vector<std::string> texts;
  for (const Expression& constraint : sweep.constraints) texts.push_back(constraint.text());
  if (!sweep.holds_scenario_slos) return texts;
  for (const std::string& text : conditions_of(scenario.slo)) texts.push_back(text);
  return texts;
}

std::string task_of(const SweepPoint& point, const std::vector<Override>& overrides,
                    const SweepOptions& options, const std::map<std::string, double>& placed,
                    const std::vector<std::string>& constraints) {
  Json task;
  task["scenario"] = point.scenario;
  task["fidelity"] = options.fidelity;
  task["store"] = options.store;
  task["set"] = Json::array();
  for (const Override& change : overrides) task["set"].push_back({change.path, change.value});
  task["placed"] = placed;
  task["constraints"] = constraints;
  return task.dump();
}

/// What a placement takes: `chips`, and `racks` where the system says how many chips fill one.
std::map<std::string, double> placed_by(const Scenario& scenario) {
  std::map<std::string, double> placed{{"chips", static_cast<double>(placed_chips(scenario))}};
  if (const auto racks = placed_racks(scenario)) placed["racks"] = static_cast<double>(*racks);
  return placed;
}

/// A limit on racks that are not known would let every point through.
void check_racks(const Sweep& sweep, const Scenario& scenario, Mistakes& mistakes) {
  for (const Expression& constraint : sweep.constraints) {
    const auto& names = constraint.names();
    if (std::find(names.begin(), names.end(), "racks") == names.end()) continue;
    mistakes.add(constraint.place(),
                 fmt::format("system '{}' does not say how many chips fill a rack; write "
                             "'chips_per_rack' there for each of its pools, or limit 'chips'",
                             scenario.system.name));
  }
}

/// What a row of the database answers: the scenario, and where they are not as usual the clock and
/// the constraints.
std::string identity_of(const Scenario& scenario, const std::vector<std::string>& constraints,
                        const SweepOptions& options) {
  if (options.fidelity == "cycle" && constraints.empty()) return scenario.config_hash;
  Hasher hash;
  hash.add(scenario.config_hash).add(options.fidelity);
  for (const std::string& constraint : constraints) hash.add(constraint);
  return hash.hex();
}

/// What a row answers, whatever number of audits it was run with. Constraints may name paths, so
/// there they count by what they are called.
std::string question_of(Scenario scenario, const SweepPoint& point,
                        const std::vector<std::string>& constraints, const SweepOptions& options) {
  scenario.audit_steps = 0;
  Hasher hash;
  hash.add(config_hash(scenario)).add(options.fidelity);
  for (const std::string& constraint : constraints) hash.add(constraint);
  if (!constraints.empty()) hash.add(text_of(point));
  return hash.hex();
}

/// The first constraint of paths, chips and racks alone that the point breaks; null for none.
const Expression* broken_before_run(const Sweep& sweep, const SweepPoint& point,
                                    const std::map<std::string, double>& placed) {
  const std::map<std::string, std::string> paths = paths_of(point);
  for (const Expression& constraint : sweep.constraints) {
    const std::optional<bool> holds = constraint.holds(values_of(paths, placed));
    if (holds && !*holds) return &constraint;
  }
  return nullptr;
}

SweepTask prepare_point(const Loader& loader, const Sweep& sweep, std::size_t index,
                        std::int64_t audit_steps, const SweepOptions& options, Mistakes& mistakes) {
  const SweepPoint& point = sweep.points[index];
  SweepTask task;
  task.point = static_cast<std::int64_t>(index);
  task.overrides = text_of(point);
  for (const SweepChange& change : point.changes) {
    task.changes.emplace_back(change.change.path, change.change.value);
  }
  const std::vector<Override> overrides = audited_overrides_of(point, audit_steps);
  try {
    const Scenario scenario = loader.scenario(point.scenario, overrides);
    const std::vector<std::string> constraints = constraints_of(sweep, scenario);
    task.config_hash = identity_of(scenario, constraints, options);
    task.question = question_of(scenario, point, constraints, options);
    task.audit_steps = scenario.audit_steps;
    task.scenario = scenario.name;
    task.fidelity = options.fidelity;
    task.scenario_hash = scenario.config_hash;
    const std::map<std::string, double> placed = placed_by(scenario);
    if (!placed.contains("racks")) check_racks(sweep, scenario, mistakes);
    if (const Expression* broken = broken_before_run(sweep, point, placed)) {
      task.status = "excluded";
      task.error = broken->text();
    } else {
      task.status = "due";
      task.task = task_of(point, overrides, options, placed, constraints);
    }
  } catch (const RefusedError& error) {
    task.status = "refused";
    task.error = error.what();
  } catch (const ConfigError& error) {
    for (const Diagnostic& d : error.diagnostics()) {
      const SourcePlace place = place_in_file(point, d.place);
      // What the point lacks may be what was left out of it.
      if (!sweep.mistakes.empty() && place.file != sweep.file) continue;
      mistakes.add(place, d.message);
    }
  }
  return task;
}

std::string constraints_broken(const Json& task, const std::string& result) {
  std::map<std::string, std::string> paths;
  for (const Json& change : task["set"]) paths[change[0]] = change[1];
  std::map<std::string, double> figures = figures_of_result(result);
  for (const auto& [name, count] : task["placed"].items()) figures[name] = count.get<double>();
  std::vector<std::string> violated;
  for (const Json& text : task["constraints"]) {
    const std::optional<bool> holds =
        Expression(text.get<std::string>(), {}).holds(values_of(paths, figures));
    if (!holds) {  // a limit that cannot be judged is not kept
      violated.push_back(text.get<std::string>() + " (not known)");
    } else if (!*holds) {
      violated.push_back(text);
    }
  }
  return fmt::format("{}", fmt::join(violated, "; "));
}

}  // namespace

std::vector<Override> point_overrides(const SweepPoint& point) {
  std::vector<Override> overrides;
  for (const SweepChange& change : point.changes) overrides.push_back(change.change);
  return overrides;
}

SourcePlace place_in_file(const SweepPoint& point, const SourcePlace& place) {
  SourcePlace found = place.file.empty() ? point.place : place;
  for (const SweepChange& change : point.changes) {
    if (place.file == "--set " + change.change.path) found = change.place;
  }
  return found;
}

std::vector<SweepTask> prepare_sweep(const Context& context, const Sweep& sweep,
                                     const SweepOptions& options) {
  if (options.fidelity != "cycle" && options.fidelity != "analytical") {
    throw ConfigError(fmt::format("fidelity is '{}'; write cycle or analytical", options.fidelity));
  }
  Mistakes mistakes;
  mistakes.add(sweep.mistakes);
  check_names(sweep, mistakes);
  check_dimensions(sweep, mistakes);
  check_clock(sweep, options, mistakes);
  const Loader loader = context.loader.remembering();
  const std::int64_t audit_steps = audit_steps_of(sweep);
  std::vector<SweepTask> tasks;
  for (std::size_t i = 0; i < sweep.points.size(); ++i) {
    tasks.push_back(prepare_point(loader, sweep, i, audit_steps, options, mistakes));
  }
  mistakes.throw_if_any();
  return tasks;
}

SweepWorker::SweepWorker(Context context) : context_(std::move(context)) {
  context_.loader = context_.loader.remembering();
}

std::string SweepWorker::answer(const std::string& text) {
  Json answer{{"status", "ok"}, {"error", ""}, {"violated", ""}, {"result", ""}};
  const auto fail = [&](const char* status, const std::exception& error) {
    answer["status"] = status;
    answer["error"] = error.what();
  };
  try {
    const Json task = Json::parse(text);
    RunRequest request;
    request.scenario = task["scenario"];
    request.fidelity = task["fidelity"];
    request.store = task["store"];
    for (const Json& change : task["set"]) request.overrides.push_back({change[0], change[1]});
    request.with_swings = task.value("swings", false);
    const RunAnswer run = run_scenario(context_, request);
    answer["violated"] = constraints_broken(task, run.json);
    answer["result"] = run.json;
    if (request.with_swings) answer["swings"] = run.swings;
  } catch (const ConfigError& error) {
    fail("refused", error);
  } catch (const ModelError& error) {
    fail("refused", error);
  } catch (const std::exception& error) {
    fail("error", error);
  }
  return answer.dump();
}

PointResult result_of(const SweepTask& task, const std::string& answer) {
  const Json json = Json::parse(answer);
  return {task.point,     task.config_hash, task.overrides, json["status"],   json["error"],
          json["result"], json["violated"], task.question,  task.audit_steps, task.changes};
}

std::string violated_by(const SweepTask& task, const std::string& result) {
  return constraints_broken(Json::parse(task.task), result);
}

PointResult result_of(const SweepTask& task) {
  return {task.point, task.config_hash, task.overrides,   task.status, task.error, "",
          "",         task.question,    task.audit_steps, task.changes};
}

}  // namespace tandem::entry
