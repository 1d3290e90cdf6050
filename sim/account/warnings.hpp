// What to know of a run's money and power before its figures are compared with others.
#pragma once

#include <string>
#include <vector>

#include "sim/describe/scenario.hpp"
#include "sim/service/service.hpp"

namespace tandem {

/// Sentences, empty where there is nothing to say:
/// - prices that charge some chips of the system rent and others as owned, or the whole system
///   otherwise than its chips;
/// - a `power_cap` that chips exceed at their lowest clock, and what they draw.
[[nodiscard]] std::vector<std::string> warnings_of(const Scenario& scenario,
                                                   const RunResult& result);

}  // namespace tandem
