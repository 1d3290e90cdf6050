#include "sim/entry/plans/plan_search.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "sim/core/diagnostics.hpp"
#include "sim/entry/plans/plan_prices.hpp"
#include "sim/entry/sweeps/sweep_figures.hpp"

namespace tandem::entry {
namespace {

constexpr std::size_t round_size = 8;

bool is_better(double a, double b, bool maximise) {
  return maximise ? a > b : a < b;
}

}  // namespace

PlanSearch::PlanSearch(const Context& context, Plan plan, const SweepOptions& options)
    : context_(context), options_(options), plan_(std::move(plan)) {
  std::vector<SweepTask> tasks = prepare_sweep(context_, plan_.candidates, options_);
  check_priced(context_, plan_, tasks);
  for (SweepTask& task : tasks) {
    candidates_.push_back({std::move(task), {}, {}, std::nullopt, {}});
  }
}

/// Settles what needs no run, and puts the rest in order.
void PlanSearch::bound() {
  const Loader loader = context_.loader.remembering();
  for (std::size_t i = 0; i < candidates_.size(); ++i) {
    Candidate& candidate = candidates_[i];
    if (candidate.task.status != "due") {
      candidate.result = result_of(candidate.task);
      continue;
    }
    const SweepPoint& point = plan_.candidates.points[i];
    candidate.slo = plan_.slo.value_or(Slo{});
    try {
      const Scenario scenario = loader.scenario(point.scenario, point_overrides(point));
      if (!plan_.slo) candidate.slo = scenario.slo;
      candidate.bounds = bounds_of(context_, scenario, options_.store);
    } catch (const ConfigError&) {
      // The run says the same, with its status.
    } catch (const ModelError&) {
    }
    const std::string broken = broken_limit(plan_, *candidate.slo, candidate.bounds);
    if (broken.empty()) {
      order_.push_back(i);
    } else {
      prune(candidate, broken);
    }
  }
  const Objective& goal = plan_.candidates.objectives.front();
  std::stable_sort(order_.begin(), order_.end(), [&](std::size_t a, std::size_t b) {
    const auto first = best_figure(goal.figure, candidates_[a].bounds);
    const auto second = best_figure(goal.figure, candidates_[b].bounds);
    if (!first || !second) return !first && second;
    return is_better(*first, *second, goal.maximise);
  });
}

void PlanSearch::prune(Candidate& candidate, const std::string& reason) {
  candidate.result = result_of(candidate.task);
  candidate.result->status = "pruned";
  candidate.result->error = reason;
}

/// A candidate that ran and beats another one's bounds in every objective keeps it from being the
/// best and from the Pareto front.
std::string PlanSearch::reason_to_prune(const Candidate& candidate) const {
  const std::vector<Objective>& objectives = plan_.candidates.objectives;
  for (const Candidate& other : candidates_) {
    if (other.figures.empty()) continue;
    bool is_beaten = true;
    for (std::size_t i = 0; i < objectives.size(); ++i) {
      const auto best = best_figure(objectives[i].figure, candidate.bounds);
      is_beaten = is_beaten && best && is_better(other.figures[i], *best, objectives[i].maximise);
    }
    if (!is_beaten) continue;
    return fmt::format("{} is at best {:.4g}, of candidate {} {:.4g}", objectives.front().figure,
                       *best_figure(objectives.front().figure, candidate.bounds), other.task.point,
                       other.figures.front());
  }
  return {};
}

std::vector<SweepTask> PlanSearch::next_round() {
  if (!is_bounded_) bound();
  is_bounded_ = true;
  std::vector<SweepTask> round;
  while (!order_.empty() && round.size() < round_size) {
    Candidate& candidate = candidates_[order_.front()];
    order_.erase(order_.begin());
    const std::string reason = reason_to_prune(candidate);
    if (reason.empty()) {
      round.push_back(candidate.task);
    } else {
      prune(candidate, reason);
    }
  }
  return round;
}

void PlanSearch::take(PointResult result) {
  Candidate& candidate = candidates_[static_cast<std::size_t>(result.point)];
  if (result.status == "ok" && result.violated.empty()) {
    const auto figures = figures_of_result(result.result);
    for (const Objective& objective : plan_.candidates.objectives) {
      const auto figure = figures.find(objective.figure);
      if (figure != figures.end()) candidate.figures.push_back(figure->second);
    }
    if (candidate.figures.size() < plan_.candidates.objectives.size()) candidate.figures.clear();
  }
  candidate.result = std::move(result);
}

std::vector<PointResult> PlanSearch::results() const {
  std::vector<PointResult> results;
  for (const Candidate& candidate : candidates_) {
    if (candidate.result) results.push_back(*candidate.result);
  }
  return results;
}

std::vector<SweepTask> PlanSearch::tasks() const {
  std::vector<SweepTask> tasks;
  for (const Candidate& candidate : candidates_) tasks.push_back(candidate.task);
  return tasks;
}

std::optional<std::size_t> PlanSearch::best() const {
  std::optional<std::size_t> best;
  const bool maximise = plan_.candidates.objectives.front().maximise;
  for (std::size_t i = 0; i < candidates_.size(); ++i) {
    if (candidates_[i].figures.empty()) continue;
    if (!best ||
        is_better(candidates_[i].figures.front(), candidates_[*best].figures.front(), maximise)) {
      best = i;
    }
  }
  return best;
}

}  // namespace tandem::entry
