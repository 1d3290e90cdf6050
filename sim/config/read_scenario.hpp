// The whole tree of a scenario to its value.
#pragma once

#include "sim/config/assemble.hpp"
#include "sim/config/map_reader.hpp"
#include "sim/describe/scenario.hpp"

namespace tandem::config {

/// Builds a scenario, of one model or a mix of them, and checks its parts against each other. All
/// complaints go to the context.
[[nodiscard]] Scenario read_scenario(const Assembled& assembled, ReadContext& context);

}  // namespace tandem::config
