// Whether the goal of a plan can be known at all: costs need prices, carbon the grid's.
#pragma once

#include <vector>

#include "sim/config/plan.hpp"
#include "sim/entry/sweeps/sweep_tasks.hpp"

namespace tandem::entry {

/// Refuses a plan whose objectives no candidate that is due can have: throws ConfigError at the
/// plan's goal, with what the price books lack. Tasks are those of the plan's candidates.
void check_priced(const Context& context, const Plan& plan, const std::vector<SweepTask>& tasks);

}  // namespace tandem::entry
