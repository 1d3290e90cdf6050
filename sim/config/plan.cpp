#include "sim/config/plan.hpp"

#include <fmt/format.h>

#include "sim/config/build.hpp"
#include "sim/config/study_file.hpp"
#include "sim/config/sweep_axes.hpp"
#include "sim/config/yaml_reader.hpp"

namespace tandem {
namespace {

using config::Changes;
using config::MapReader;
using config::ReadContext;
using config::Tree;

/// Every candidate at every load, loads fastest.
void add_loads(const MapReader& reader, Sweep& sweep, ReadContext& context) {
  const std::vector<Changes> loads = config::read_grid(reader.child("loads"), context);
  std::vector<SweepPoint> points;
  for (const SweepPoint& candidate : sweep.points) {
    for (const Changes& load : loads) {
      points.push_back(candidate);
      points.back().changes.insert(points.back().changes.end(), load.begin(), load.end());
    }
  }
  sweep.points = std::move(points);
}

/// A limit as a constraint of the candidates.
void limit(std::optional<double> value, const std::string& condition, const SourcePlace& place,
           Sweep& sweep) {
  if (value) sweep.constraints.emplace_back(fmt::format("{} {:.12g}", condition, *value), place);
}

void read_limits(const MapReader& reader, Plan& plan, ReadContext& context) {
  Sweep& sweep = plan.candidates;
  if (const Tree* slo = reader.child("slo")) {
    plan.slo = config::build_slo(*slo, context);
    for (const std::string& condition : conditions_of(*plan.slo)) {
      sweep.constraints.emplace_back(condition, slo->place);
    }
  }
  sweep.holds_scenario_slos = !plan.slo;
  const Tree* limits = reader.child("limits");
  if (limits == nullptr) return;
  const MapReader own(*limits, config::plan_limits_section(), "the plan's limits", context);
  plan.power_w = own.optional_number("power");
  plan.usd_per_hour = own.optional_number("budget");
  plan.output_tokens_per_s = own.optional_number("output_tokens_per_s");
  limit(own.optional_number("chips"), "chips <=", own.place("chips"), sweep);
  limit(own.optional_number("racks"), "racks <=", own.place("racks"), sweep);
  limit(plan.power_w, "average_power_w <=", own.place("power"), sweep);
  limit(plan.usd_per_hour, "usd_per_hour_used <=", own.place("budget"), sweep);
  limit(plan.output_tokens_per_s, "output_tokens_per_s >=", own.place("output_tokens_per_s"),
        sweep);
}

PlanGoal read_goal(const MapReader& reader) {
  return reader.choice<PlanGoal>("goal", {{"cheapest", PlanGoal::Cheapest},
                                          {"fastest", PlanGoal::Fastest},
                                          {"most_tokens", PlanGoal::MostTokens},
                                          {"least_energy", PlanGoal::LeastEnergy},
                                          {"least_carbon", PlanGoal::LeastCarbon}});
}

}  // namespace

Objective objective_of(PlanGoal goal) {
  switch (goal) {
    case PlanGoal::Cheapest:
      return {false, "usd_per_m_total_tokens", {}};
    case PlanGoal::Fastest:
      return {true, "output_tokens_per_s_per_user", {}};
    case PlanGoal::MostTokens:
      return {true, "output_tokens_per_s", {}};
    case PlanGoal::LeastEnergy:
      return {false, "energy_j_per_output_token", {}};
    case PlanGoal::LeastCarbon:
      return {false, "economics.carbon_g_per_m_output_tokens", {}};
  }
  return {};
}

Plan read_plan(const ConfigRoots& roots, const std::string& path_or_name) {
  Plan plan;
  Sweep& sweep = plan.candidates;
  config::StudyFile file(roots, "plan", config::plan_section(), path_or_name, sweep);
  const MapReader& reader = file.reader();
  ReadContext& context = file.context();
  const Changes common =
      reader.has("set") ? read_changes(*reader.child("set"), context) : Changes{};
  if (const Tree* candidates = reader.child("candidates")) {
    config::read_grids(*candidates, "a group of candidates", common, sweep, context);
  }
  add_loads(reader, sweep, context);
  plan.goal = read_goal(reader);
  read_limits(reader, plan, context);
  config::read_constraints(reader, sweep, file.problems());
  sweep.objectives.push_back(objective_of(plan.goal));
  // Against the speed for a user; and that against its cost.
  sweep.objectives.push_back(
      objective_of(plan.goal == PlanGoal::Fastest ? PlanGoal::Cheapest : PlanGoal::Fastest));
  for (Objective& objective : sweep.objectives) objective.place = reader.place("goal");
  file.keep_mistakes();
  return plan;
}

Plan load_plan(const ConfigRoots& roots, const std::string& path_or_name) {
  Plan plan = read_plan(roots, path_or_name);
  if (!plan.candidates.mistakes.empty()) throw ConfigError(std::move(plan.candidates.mistakes));
  return plan;
}

}  // namespace tandem
