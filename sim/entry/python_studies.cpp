#include "sim/entry/python_studies.hpp"

#include <pybind11/stl.h>

#include "sim/entry/plans/plan_page.hpp"
#include "sim/entry/plans/plan_search.hpp"
#include "sim/entry/sweeps/sweep_database.hpp"
#include "sim/entry/sweeps/sweep_summary.hpp"
#include "sim/entry/sweeps/sweep_tasks.hpp"

namespace py = pybind11;

namespace tandem::entry {
namespace {

/// A sweep read from its file, with its tasks.
struct PreparedSweep {
  PreparedSweep(const std::string& file, const std::string& fidelity, const std::string& store,
                const std::vector<std::pair<std::string, std::string>>& changes) {
    const Context context = make_call_context();
    sweep = read_sweep(context.loader.roots(), file);
    for (const auto& [path, value] : changes) change_every_point(sweep, {path, value});
    tasks = prepare_sweep(context, sweep, {fidelity, store});
  }
  [[nodiscard]] std::string page(const std::vector<PointResult>& results) const {
    return sweep_page(sweep, results);
  }
  Sweep sweep;
  std::vector<SweepTask> tasks;
};

struct PythonPlan {
  PythonPlan(const std::string& file, const std::string& fidelity, const std::string& store)
      : PythonPlan(make_call_context(), file, {fidelity, store}) {}
  PythonPlan(const Context& context, const std::string& file, const SweepOptions& options)
      : search(context, read_plan(context.loader.roots(), file), options) {}
  PlanSearch search;
};

std::unique_ptr<SweepDatabase> open_database(const std::string& path, bool resume, bool force) {
  const ExistingPoints fresh = force ? ExistingPoints::Replace : ExistingPoints::Refuse;
  return std::make_unique<SweepDatabase>(path, resume ? ExistingPoints::Keep : fresh);
}

void add_values(py::module_& module) {
  py::class_<SweepTask>(module, "SweepTask")
      .def_readonly("point", &SweepTask::point)
      .def_readonly("config_hash", &SweepTask::config_hash)
      .def_readonly("status", &SweepTask::status)
      .def_readonly("changes", &SweepTask::changes)
      .def_readonly("task", &SweepTask::task)
      .def("result", [](const SweepTask& task) { return result_of(task); })
      .def("result",
           [](const SweepTask& task, const std::string& answer) { return result_of(task, answer); })
      .def("failed", [](const SweepTask& task, const std::string& error) {
        PointResult result = result_of(task);
        result.status = "error";
        result.error = error;
        return result;
      });
  py::class_<PointResult>(module, "PointResult")
      .def_readonly("point", &PointResult::point)
      .def_readonly("config_hash", &PointResult::config_hash)
      .def_readonly("status", &PointResult::status)
      .def_readonly("error", &PointResult::error)
      .def_readonly("violated", &PointResult::violated)
      .def_readonly("result", &PointResult::result);
}

}  // namespace

void add_studies(py::module_& module) {
  const auto released = py::call_guard<py::gil_scoped_release>();
  add_values(module);
  py::class_<PreparedSweep>(module, "PreparedSweep")
      .def(py::init<const std::string&, const std::string&, const std::string&,
                    const std::vector<std::pair<std::string, std::string>>&>(),
           released)
      .def_readonly("tasks", &PreparedSweep::tasks)
      .def("page", &PreparedSweep::page, released);
  py::class_<SweepWorker>(module, "SweepWorker")
      .def(py::init([] { return std::make_unique<SweepWorker>(make_call_context()); }), released)
      .def("answer", &SweepWorker::answer, released);
  py::class_<SweepDatabase>(module, "SweepDatabase")
      .def(py::init(&open_database), released)
      .def(
          "take_over",
          [](SweepDatabase& database, const std::vector<SweepTask>& tasks, bool may_lose) {
            return database.take_over(tasks, may_lose).due;
          },
          released)
      .def("store", &SweepDatabase::store, released)
      .def("results", &SweepDatabase::results);
  py::class_<PythonPlan>(module, "PlanSearch")
      .def(py::init<const std::string&, const std::string&, const std::string&>(), released)
      .def(
          "next_round", [](PythonPlan& plan) { return plan.search.next_round(); }, released)
      .def("take",
           [](PythonPlan& plan, PointResult result) { plan.search.take(std::move(result)); })
      .def("tasks", [](const PythonPlan& plan) { return plan.search.tasks(); })
      .def("results", [](const PythonPlan& plan) { return plan.search.results(); })
      .def("best", [](const PythonPlan& plan) { return plan.search.best(); })
      .def("page", [](const PythonPlan& plan) { return plan_page(plan.search); })
      .def("swings_task", [](const PythonPlan& plan) { return swings_task(plan.search); })
      .def("tornado", [](const PythonPlan& plan, const std::string& answer) {
        return tornado_page(tornado_of(plan.search, answer));
      });
}

}  // namespace tandem::entry
