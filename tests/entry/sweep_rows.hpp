// Tasks and rows of sweeps, as tests make them.
#pragma once

#include <string>

#include "sim/entry/sweeps/sweep_tasks.hpp"

namespace tandem::entry {

inline SweepTask task_of(std::int64_t point, const std::string& question,
                         std::int64_t audit_steps = 10) {
  SweepTask task;
  task.point = point;
  task.status = "due";
  task.overrides = "x=" + std::to_string(point);
  task.question = question;
  task.audit_steps = audit_steps;
  return task;
}

/// A row as a task leaves it.
inline PointResult row_of(const SweepTask& task, const std::string& status) {
  PointResult row = result_of(task);
  row.status = status;
  return row;
}

}  // namespace tandem::entry
