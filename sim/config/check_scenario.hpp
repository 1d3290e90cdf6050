// Checks that need several parts of a scenario at once: pools against the system, stages against
// the network, lengths against the context. Whether weights fit in memory is seen in sim/step.
#pragma once

#include "sim/config/tree.hpp"
#include "sim/describe/scenario.hpp"

namespace tandem::config {

/// Reports what does not go together, placed in the scenario's tree.
void check_scenario(const Scenario& scenario, const Tree& tree, Problems& problems);

}  // namespace tandem::config
