// What the host of a gang's chips takes to launch a pass kernel by kernel, without graphs.
#pragma once

#include "sim/core/units.hpp"
#include "sim/describe/scenario.hpp"
#include "sim/lower/batch.hpp"
#include "sim/step/time_parts.hpp"

namespace tandem {

/// Speed of the system's hosts relative to those that software constants are for (host_speed).
[[nodiscard]] double host_speed(const System& system);

/// Host time per kernel or exchange of each chip; zero where the software launches graphs.
struct HostLaunches {
  Picoseconds each{0};     ///< eager_launch
  Picoseconds prompts{0};  ///< eager_prompt_launch: in passes with prompts, of which no graphs are
  [[nodiscard]] Picoseconds of(const Batch& batch) const;
};
[[nodiscard]] HostLaunches host_launches(const Scenario& scenario);

/// A host that launches kernel by kernel runs ahead of chips that take longer, and others wait for
/// it: lengthens a pass of `time`, and its parts, to `launching`.
void wait_for_host(Picoseconds launching, Picoseconds& time, TimeParts& parts);

}  // namespace tandem
