// Which plan the loops of a stage follow, and the shortest interval at which a body fits.
#include <algorithm>

#include "models/lpu/compiler/stage_compiler.hpp"

namespace tandem::lpu {
namespace {

// Intervals are tried this share of themselves apart.
constexpr std::int64_t interval_steps = 32;

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

// Upwards from what the busiest unit needs, as long as that is shorter than iterations one after
// the other. `known` is an interval that another layer has needed; 0: none.
StageCompiler::LoopBody StageCompiler::overlapped_body(const LoopFunction& body,
                                                       const LoopPlan& plan, std::int64_t known) {
  std::int64_t from = known;
  std::int64_t end = 2 * known;
  if (known == 0) {
    const LoopBody sequential =
        schedule_body(body, {LoopStrategy::Sequential, plan.blocks}, sequential_interval);
    from = std::max<std::int64_t>(1, use_of_body(*sequential.schedule).bound);
    end = sequential.interval;
  }
  for (std::int64_t interval = from; interval < end;
       interval += std::max<std::int64_t>(1, interval / interval_steps)) {
    LoopBody found = schedule_body(body, plan, interval);
    if (found.schedule) return found;
  }
  return {};
}

LoopCost StageCompiler::cost_of(const LoopFunction& body, const LoopPlan& plan) {
  const std::vector<int> turns = accumulator_turn_;
  const LoopBody found = plan.strategy == LoopStrategy::Sequential
                             ? schedule_body(body, plan, sequential_interval)
                             : overlapped_body(body, plan, 0);
  accumulator_turn_ = turns;
  LoopCost cost{plan, 0, 0};
  if (!found.schedule) return cost;
  cost.first = found.schedule->span();
  cost.interval = found.interval;
  return cost;
}

// The plan whose loops take the fewest cycles, summed over all contexts that a request may have.
void StageCompiler::choose_plan(const LayerLayout& layer, const TokenRegisters& token) {
  const std::vector<LoopFunction> bodies{
      [&](const LoopPlan& plan) { score_body(layer, token, plan); },
      [&](const LoopPlan& plan) { value_body(layer, token, plan); }};
  std::vector<LoopPlan> plans{{LoopStrategy::Sequential, 1}};
  for (int blocks = 1; blocks <= layout_.spare_blocks + 1 && layout_.blocks_per_slot > 1;
       blocks *= 2) {
    plans.push_back({LoopStrategy::Overlapped, blocks});
  }
  std::int64_t least = 0;
  for (const LoopPlan& plan : plans) {
    LoopCost sum{plan, 0, 0};
    bool fits = true;
    for (const LoopFunction& body : bodies) {
      const LoopCost cost = cost_of(body, plan);
      fits = fits && cost.interval > 0;
      sum.first += cost.first;
      sum.interval += cost.interval;
    }
    const std::int64_t total = sum.total(layout_.blocks_per_slot);
    if (!fits || (least != 0 && total >= least)) continue;
    least = total;
    plan_ = plan;
  }
}

// An iteration takes no more blocks than the layout has spare ones for.
void StageCompiler::settle_plan(const LayerLayout& layer, const TokenRegisters& token) {
  if (!plan_) choose_plan(layer, token);
  plan_->blocks = std::min(plan_->blocks, layout_.spare_blocks + 1);
  layout_.blocks_per_iteration = plan_->blocks;
}

void StageCompiler::run_loop(const std::string& name, int reg, const LoopFunction& body) {
  LoopPlan plan = *plan_;
  LoopBody found;
  if (plan.strategy == LoopStrategy::Overlapped) {
    found = overlapped_body(body, plan, intervals_[name]);
    intervals_[name] = found.interval;
  }
  if (!found.schedule) {
    plan.strategy = LoopStrategy::Sequential;
    found = schedule_body(body, plan, sequential_interval);
  }
  LoopUse use = use_of_body(*found.schedule);
  use.name = name;
  use.plan = plan;
  use.interval = found.interval;
  loop_uses_.push_back(use);
  scheduler_.append_loop(*found.schedule, found.interval, reg, loop_strides(plan));
}

}  // namespace tandem::lpu
