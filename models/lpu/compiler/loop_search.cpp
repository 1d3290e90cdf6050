// Which plan the loops of a stage follow, and the shortest interval at which a body fits.
#include <algorithm>

#include "models/lpu/compiler/stage_compiler.hpp"

namespace tandem::lpu {
namespace {

// Intervals are tried this share of themselves apart, then halved in between.
constexpr std::int64_t coarse_steps = 8;
// A plan that is better in one loop may be this much worse in the other.
constexpr double most_growth = 1.125;

std::string name_of_loop(const LayerLayout& layer, const std::string& name) {
  return layer.has_window() ? "window " + name : name;
}

}  // namespace

StageCompiler::LoopBody StageCompiler::schedule_body(const LoopFunction& body, const LoopPlan& plan,
                                                     std::int64_t interval) {
  Scheduler schedule = Scheduler::loop_body(geometry_, scheduler_.latencies(), interval);
  std::swap(scheduler_, schedule);
  const std::vector<int> turns = accumulator_turn_;
  bool fits = true;
  try {
    body(plan);
    scheduler_.check_carried(loop_strides(plan));
  } catch (const LoopDoesNotFit&) {
    fits = false;
    accumulator_turn_ = turns;
  }
  std::swap(scheduler_, schedule);
  if (!fits) return {};
  const bool overlaps = plan.strategy == LoopStrategy::Overlapped;
  const std::int64_t every = overlaps ? interval : schedule.span();
  return {std::move(schedule), every};
}

StageCompiler::LoopBody StageCompiler::sequential_body(const LoopFunction& body, int blocks) {
  return schedule_body(body, {LoopStrategy::Sequential, blocks}, sequential_interval);
}

StageCompiler::LoopBody StageCompiler::shortest_body(const LoopFunction& body, const LoopPlan& plan,
                                                     std::int64_t from, std::int64_t end) {
  LoopBody found;
  std::int64_t failed = from - 1;
  for (std::int64_t interval = from; interval < end && !found.schedule;
       interval += std::max<std::int64_t>(1, interval / coarse_steps)) {
    found = schedule_body(body, plan, interval);
    if (!found.schedule) failed = interval;
  }
  while (found.schedule && found.interval - failed > 1) {
    const std::int64_t middle = (found.interval + failed) / 2;
    LoopBody shorter = schedule_body(body, plan, middle);
    if (shorter.schedule) {
      found = std::move(shorter);
    } else {
      failed = middle;
    }
  }
  return found;
}

// The cost of a loop under a plan; its interval is zero where the plan is worse per block than the
// one before.
LoopCost StageCompiler::cost_of(PlannedLoop& loop, const LoopPlan& plan) {
  const std::vector<int> turns = accumulator_turn_;
  const bool overlaps = plan.strategy == LoopStrategy::Overlapped;
  const auto limit = static_cast<std::int64_t>(most_growth * loop.cycles_per_block * plan.blocks);
  const LoopBody found =
      overlaps ? shortest_body(loop.body, plan, loop.bound_per_block * plan.blocks, limit + 1)
               : sequential_body(loop.body, plan.blocks);
  accumulator_turn_ = turns;
  if (!found.schedule) return {plan, 0, 0};
  loop.cycles_per_block = static_cast<double>(found.interval) / plan.blocks;
  if (!overlaps) loop.bound_per_block = use_of_body(*found.schedule).bound;
  return {plan, found.schedule->span(), found.interval};
}

// Where a window ends within one iteration, its loops run once: nothing overlaps, so the shortest
// iteration is best.
std::vector<LoopPlan> StageCompiler::possible_plans(bool window) const {
  std::vector<LoopPlan> plans{{LoopStrategy::Sequential, 1}};
  const int longest = window ? layout_.window.blocks : layout_.blocks_per_slot;
  const int most = std::min(layout_.spare_blocks + 1, longest);
  for (int blocks = 1; blocks <= most && most > 1; blocks *= 2) {
    plans.push_back({LoopStrategy::Overlapped, blocks});
  }
  if (window && longest == most && most > 1) plans.push_back({LoopStrategy::Sequential, most});
  return plans;
}

// The plan whose loops take the fewest cycles, summed over all contexts that a request may have.
void StageCompiler::choose_plan(const LayerLayout& layer, const TokenBuffers& token) {
  std::vector<PlannedLoop> loops{{name_of_loop(layer, "scores"),
                                  [&](const LoopPlan& plan) { score_body(layer, token, plan); }},
                                 {name_of_loop(layer, "values"), [&](const LoopPlan& plan) {
                                    value_body(layer, token, 0, plan);
                                  }}};
  if (layout_.latent) {
    loops[0].body = [&](const LoopPlan& plan) { latent_score_body(layer, token, plan); };
    loops[1].body = [&](const LoopPlan& plan) { latent_value_body(layer, token, 0, plan); };
  }
  const bool window = layer.has_window();
  const int read = window ? layout_.window.blocks : layout_.blocks_per_slot;
  std::int64_t least = 0;
  for (const LoopPlan& plan : possible_plans(window)) {
    LoopCost sum{plan, 0, 0};
    std::map<std::string, std::int64_t> intervals;
    for (PlannedLoop& loop : loops) {
      const LoopCost cost = cost_of(loop, plan);
      intervals[loop.name] = cost.interval;
      sum.first += cost.first;
      sum.interval += cost.interval;
      if (cost.interval == 0) break;
    }
    const std::int64_t total = sum.total(layout_.blocks_per_slot, read);
    const bool fits = intervals.size() == loops.size() && intervals[loops.back().name] != 0;
    if (!fits || (least != 0 && total >= least)) continue;
    least = total;
    plans_[window ? 1 : 0] = plan;
    for (const auto& [name, interval] : intervals) intervals_[name] = interval;
  }
}

// An iteration takes no more blocks than the layout has spare ones for.
void StageCompiler::settle_plan(const LayerLayout& layer, const TokenBuffers& token) {
  const bool window = layer.has_window();
  std::optional<LoopPlan>& plan = plans_[window ? 1 : 0];
  if (!plan) choose_plan(layer, token);
  plan->blocks = std::min(plan->blocks, layout_.spare_blocks + 1);
  (window ? layout_.window.blocks_per_iteration : layout_.blocks_per_iteration) = plan->blocks;
}

// At the interval that another layer has needed, or a little longer; sequential where none fits.
StageCompiler::LoopBody StageCompiler::planned_body(const std::string& name,
                                                    const LoopFunction& body, LoopPlan& plan) {
  if (plan.strategy == LoopStrategy::Overlapped) {
    std::int64_t& known = intervals_[name];
    std::int64_t end = 2 * known;
    if (known == 0) {
      const LoopBody sequential = sequential_body(body, 1);
      known = std::max<std::int64_t>(1, use_of_body(*sequential.schedule).bound) * plan.blocks;
      end = sequential.interval * plan.blocks;
    }
    LoopBody found = shortest_body(body, plan, known, end);
    known = std::max(known, found.interval);
    if (found.schedule) return found;
  }
  plan.strategy = LoopStrategy::Sequential;
  return sequential_body(body, plan.blocks);
}

void StageCompiler::run_loop(const std::string& name, const LayerLayout& layer, int reg,
                             const LoopFunction& body) {
  LoopPlan plan = *plans_[layer.has_window() ? 1 : 0];
  const std::string full_name = name_of_loop(layer, name);
  const LoopBody found = planned_body(full_name, body, plan);
  LoopUse use = use_of_body(*found.schedule);
  use.name = full_name;
  use.plan = plan;
  use.interval = found.interval;
  loop_uses_.push_back(use);
  scheduler_.append_loop(*found.schedule, found.interval, reg, loop_strides(plan));
}

}  // namespace tandem::lpu
