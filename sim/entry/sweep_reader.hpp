// Reading what a sweep has stored.
#pragma once

#include <string>
#include <vector>

#include "sim/entry/sweeps/sweep_tasks.hpp"

namespace tandem::entry {

/// The points of a sweep database by number, without changing the file. Throws ConfigError when it
/// is no such database or a sweep is writing it.
[[nodiscard]] std::vector<PointResult> read_points(const std::string& path);

}  // namespace tandem::entry
