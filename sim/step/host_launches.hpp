// What the host of a gang's chips takes to launch a pass kernel by kernel, without graphs.
#pragma once

#include "sim/core/units.hpp"
#include "sim/describe/scenario.hpp"
#include "sim/step/time_parts.hpp"

namespace tandem {

/// Speed of the system's hosts relative to those that software constants are for (host_speed).
[[nodiscard]] double host_speed(const System& system);

/// Host time per kernel or exchange of each chip; zero where the software launches graphs
/// (eager_launch).
[[nodiscard]] Picoseconds host_launch_time(const Scenario& scenario);

/// A host that launches kernel by kernel runs ahead of chips that take longer, and others wait for
/// it: lengthens a pass of `time`, and its parts, to `launching`.
void wait_for_host(Picoseconds launching, Picoseconds& time, TimeParts& parts);

}  // namespace tandem
