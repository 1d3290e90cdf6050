// Sweeps and plans for Python: who runs the tasks is decided there.
#pragma once

#include <pybind11/pybind11.h>

namespace tandem::entry {

/// Adds sweep_tasks, SweepWorker, SweepDatabase and PlanSearch to the module.
void add_studies(pybind11::module_& module);

}  // namespace tandem::entry
