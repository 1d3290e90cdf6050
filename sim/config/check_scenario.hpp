// Checks that need several parts of a scenario at once: pools against the system, stages against
// the network, lengths against the context. Whether weights fit in memory is seen in sim/step.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "sim/config/tree.hpp"
#include "sim/describe/scenario.hpp"

namespace tandem::config {

/// Chips of each pool that placements ask for.
using ChipsWanted = std::map<std::string, std::int64_t>;

/// Whether chips of a group have static schedules. False where the chip's file is missing, which
/// has been reported by then.
[[nodiscard]] bool is_lpu(const System& system, const ChipGroup& group);

/// Reports pools, chips and stages that the system or the network does not have. `tree` is that of
/// the placement, `taken` what earlier models ask for; those of this one are added.
void check_placement(const Scenario& scenario, const Tree& tree, ChipsWanted& taken,
                     Problems& problems);

/// Reports deployments and routing that do not go together. `tree` is that of the scenario.
void check_mix(const Scenario& scenario, const Tree& tree, Problems& problems);

/// Reports routing between replicas that the rest of the scenario gives nothing to go by. `tree` is
/// that of the scenario.
/// The limits of a planner against the placement.
void check_planner(const Scenario& scenario, const Tree& tree, Problems& problems);
void check_router(const Scenario& scenario, const Tree& tree, Problems& problems);

/// Reports rules of a scheduler that the rest of the scenario has no use for. `tree` is that of the
/// scenario.
void check_policy(const Scenario& scenario, const Tree& tree, Problems& problems);

/// Reports prefixes of a trace beside what blocks cannot be shared with. `tree` is that of the
/// scenario.
void check_prefix_cache(const Scenario& scenario, const Tree& tree, Problems& problems);

/// Reports eviction where it cannot be: other chips than GPUs, several pools, sparse attention.
/// `tree` is that of the scenario.
void check_tiers(const Scenario& scenario, const Tree& tree, Problems& problems);
void check_eviction(const Scenario& scenario, const Tree& tree, Problems& problems);
void check_cascade(const Scenario& scenario, const Tree& tree, Problems& problems);

/// Reports pools whose chips cannot share layers. `tree` is that of the placement.
void check_gangs(const Scenario& scenario, const Tree& tree, Problems& problems);

/// Reports pools that cannot speculate, and a draft model that is missing, has no part in the
/// scenario, or cannot draft for the model. `tree` is that of the scenario.
void check_speculation(const Scenario& scenario, const Tree& tree, Problems& problems);

/// Reports requests that are longer than a network's context. `tree` is that of the traffic.
void check_lengths(const Scenario& scenario, const Tree& tree, Problems& problems);

}  // namespace tandem::config
