// What a plan found, for people: the answer, what it is traded against, and what it hangs on.
#pragma once

#include <string>
#include <vector>

#include "sim/entry/plans/plan_search.hpp"
#include "sim/entry/sweeps/sweep_database.hpp"

namespace tandem::entry {

/// The task that runs the best candidate again for its swings; empty where there is none.
[[nodiscard]] std::string swings_task(const PlanSearch& search);

/// The numbers that move the goal's figure most over their ranges, ten at most, largest first.
/// `answer`: of the swings task.
[[nodiscard]] std::vector<TornadoBar> tornado_of(const PlanSearch& search,
                                                 const std::string& answer);
/// Those as lines; empty where there are none.
[[nodiscard]] std::string tornado_page(const std::vector<TornadoBar>& bars);

/// The answer with its figures, the Pareto front, and how many candidates ran.
[[nodiscard]] std::string plan_page(const PlanSearch& search);

}  // namespace tandem::entry
