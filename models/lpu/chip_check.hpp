// Which numbers of a chip file no LPU can have together, whatever runs on it.
#pragma once

#include <vector>

#include "sim/core/diagnostics.hpp"
#include "sim/describe/scenario.hpp"

namespace tandem::lpu {

/// Complaints with the places of the numbers; empty where the machine can be built and the compiler
/// finds schedules for it. Every number is within the bounds of lpu_schema() already.
[[nodiscard]] std::vector<Diagnostic> shape_problems(const Chip& chip);

}  // namespace tandem::lpu
