// What becomes of the rows of a database when a sweep goes on with it.
#pragma once

#include <cstdint>
#include <vector>

#include "sim/entry/sweeps/sweep_tasks.hpp"

namespace tandem::entry {

/// How many rows went, and why.
struct DroppedRows {
  std::int64_t others = 0;   ///< of points that the sweep does not have, at this clock
  std::int64_t changed = 0;  ///< finished ones of its own points, which are made again
  /// That are ok and of which nothing runs again: of other points, or of points that no longer run.
  std::int64_t lost = 0;
};

struct Resumption {
  std::vector<PointResult>
      rows;  ///< that stay, under their tasks' numbers, and those that never run
  std::vector<SweepTask> due;
  DroppedRows dropped;
};

/// A row that is ok or was refused stays for every task with the same question, if it audited at
/// least as many passes. One of the same run under other constraints stays too, held to the new
/// ones. All other rows go.
[[nodiscard]] Resumption resume_with(const std::vector<SweepTask>& tasks,
                                     const std::vector<PointResult>& rows);

}  // namespace tandem::entry
