// tandem._core: the library's operations for Python, as text in and text out. The package
// sim/entry/python/tandem gives them their Python shape.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <chrono>
#include <functional>
#include <optional>

#include "sim/core/diagnostics.hpp"
#include "sim/entry/api.hpp"
#include "sim/entry/python_studies.hpp"
#include "sim/entry/report.hpp"

namespace py = pybind11;

namespace tandem::entry {
namespace {

using Changes = std::vector<std::pair<std::string, std::string>>;

std::vector<Override> as_overrides(const Changes& changes) {
  std::vector<Override> overrides;
  for (const auto& [path, value] : changes) overrides.push_back({path, value});
  return overrides;
}

/// Raises tandem.ConfigError with the list of complaints as `diagnostics`.
void raise_config_error(const py::object& type, const ConfigError& error) {
  py::list diagnostics;
  for (const Diagnostic& diagnostic : error.diagnostics()) {
    py::dict entry;
    entry["file"] = diagnostic.place.file;
    entry["line"] = diagnostic.place.line;
    entry["column"] = diagnostic.place.column;
    entry["message"] = diagnostic.message;
    diagnostics.append(entry);
  }
  py::object instance = type(error.what());
  instance.attr("diagnostics") = diagnostics;
  PyErr_SetObject(type.ptr(), instance.ptr());
}

constexpr auto time_between_polls = std::chrono::milliseconds(20);

/// Lets Python see a signal (Ctrl-C) in the middle of a run: what its handler raises ends the run.
/// The clock decides only when to look, never what is computed.
std::function<void()> signal_poll() {
  return [last = std::chrono::steady_clock::now()]() mutable {
    const auto now = std::chrono::steady_clock::now();
    if (now - last < time_between_polls) return;
    last = now;
    const py::gil_scoped_acquire acquire;
    if (PyErr_CheckSignals() != 0) throw py::error_already_set();
  };
}

/// (JSON, packed rows of RequestRow, Chrome trace).
py::tuple run(const std::string& scenario, const Changes& changes, const std::string& fidelity,
              bool exact, std::optional<std::uint64_t> seed, const std::string& store,
              bool timeline) {
  RunRequest request;
  request.scenario = scenario;
  request.overrides = as_overrides(changes);
  request.fidelity = fidelity;
  request.exact = exact;
  request.seed = seed;
  request.store = store;
  request.with_rows = true;
  request.with_timeline = timeline;
  request.poll = signal_poll();
  RunAnswer answer;
  {
    py::gil_scoped_release release;
    answer = run_scenario(make_call_context(), request);
  }
  const py::bytes rows(reinterpret_cast<const char*>(answer.requests.data()),
                       answer.requests.size() * sizeof(RequestRow));
  return py::make_tuple(answer.json, rows, answer.timeline);
}

std::string step(const std::string& scenario, const Changes& changes, const std::string& pool,
                 std::int64_t requests, std::int64_t new_tokens, std::int64_t cached,
                 const std::string& store) {
  py::gil_scoped_release release;
  StepRequest request;
  request.scenario = scenario;
  request.overrides = as_overrides(changes);
  request.pool = pool;
  request.requests = requests;
  request.new_tokens = new_tokens;
  request.cached = cached;
  request.store = store;
  return step_of(make_call_context(), request).json;
}

/// (CSV, note).
py::tuple kernels(const std::string& chip, const std::string& op, const std::string& csv,
                  const std::string& software, const std::string& fidelity, const Changes& changes,
                  bool sustained) {
  KernelsRequest request{chip,     op, csv, "table", software, fidelity, as_overrides(changes),
                         sustained};
  KernelsAnswer answer;
  {
    py::gil_scoped_release release;
    answer = kernels_of(make_call_context(), request);
  }
  return py::make_tuple(answer.csv, answer.note);
}

/// (page, JSON).
py::tuple describe(const std::string& name, std::int64_t batch, std::optional<std::int64_t> context,
                   std::optional<std::int64_t> prompt) {
  DescribeAnswer answer;
  {
    py::gil_scoped_release release;
    answer = describe_of(make_call_context(), {name, false, {batch, context, prompt}});
  }
  return py::make_tuple(answer.page, answer.json);
}

std::string report_of_json(const std::string& json) {
  py::gil_scoped_release release;
  return report_html(report_data_of(json, "the object"));
}

std::string report_of_file(const std::string& path) {
  py::gil_scoped_release release;
  return report_html(read_report_data(path));
}

std::string generate_text(const std::string& scenario, const Changes& changes,
                          const std::string& checkpoint, const std::string& tokenizer,
                          const std::string& prompt, std::int64_t tokens, double temperature,
                          std::int64_t top_k, double top_p, std::uint64_t seed) {
  py::gil_scoped_release release;
  GenerateRequest request;
  request.scenario = scenario;
  request.overrides = as_overrides(changes);
  request.checkpoint = checkpoint;
  request.tokenizer = tokenizer;
  request.prompt = prompt;
  request.tokens = tokens;
  request.temperature = temperature;
  request.top_k = top_k;
  request.top_p = top_p;
  request.seed = seed;
  return generate_text_of(make_call_context(), request).json;
}

std::string capacity(const std::vector<std::string>& scenarios, const Changes& changes, bool curve,
                     const std::string& store) {
  py::gil_scoped_release release;
  CapacityRequest request;
  request.scenarios = scenarios;
  request.overrides = as_overrides(changes);
  request.curve = curve;
  request.store = store;
  request.poll = signal_poll();
  return capacity_of(make_call_context(), request).json;
}

std::string users_map(const std::vector<std::string>& scenarios, const Changes& changes,
                      const std::vector<std::int64_t>& contexts,
                      const std::vector<std::int64_t>& users, const std::string& store) {
  py::gil_scoped_release release;
  return map_of(make_call_context(), {scenarios, as_overrides(changes), contexts, users, store})
      .json;
}

}  // namespace
}  // namespace tandem::entry

PYBIND11_MODULE(_core, module) {
  using namespace tandem;
  using namespace tandem::entry;
  static PyObject* config_error =
      PyErr_NewException("tandem.ConfigError", PyExc_ValueError, nullptr);
  static PyObject* model_error =
      PyErr_NewException("tandem.ModelError", PyExc_RuntimeError, nullptr);
  module.attr("ConfigError") = py::reinterpret_borrow<py::object>(config_error);
  module.attr("ModelError") = py::reinterpret_borrow<py::object>(model_error);
  py::register_exception_translator([](std::exception_ptr pointer) {
    try {
      if (pointer) std::rethrow_exception(pointer);
    } catch (const ConfigError& error) {
      raise_config_error(py::reinterpret_borrow<py::object>(config_error), error);
    } catch (const ModelError& error) {
      PyErr_SetString(model_error, error.what());
    }
  });
  add_studies(module);
  module.def("run", &run);
  module.def("generate", &generate_text);
  module.def("capacity", &capacity);
  module.def("capacity_map", &users_map);
  module.def("step", &step);
  module.def("kernels", &kernels);
  module.def("describe", &describe);
  module.def("report_of_json", &report_of_json);
  module.def("report_of_file", &report_of_file);
}
