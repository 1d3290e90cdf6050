// What a plan found, for people: the answer and what it is traded against.
#pragma once

#include <string>

#include "sim/entry/plans/plan_search.hpp"

namespace tandem::entry {

/// The answer with its figures, the Pareto front, and how many candidates ran.
[[nodiscard]] std::string plan_page(const PlanSearch& search);

}  // namespace tandem::entry
