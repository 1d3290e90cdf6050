// Tasks of sweeps and plans on worker processes of this machine, with progress on a terminal.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "sim/entry/sweeps/sweep_tasks.hpp"

namespace tandem::entry {

/// Runs tasks that are due and hands their results on as they come. Returns the signal that ended
/// it early (Ctrl-C, SIGTERM), or 0.
[[nodiscard]] int run_tasks(const std::string& label, const std::vector<SweepTask>& due,
                            int workers, const std::function<void(const PointResult&)>& take);

}  // namespace tandem::entry
