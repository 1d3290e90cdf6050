#include "sim/entry/systems/system_tables.hpp"

#include <fmt/format.h>

#include <cstdlib>

#include "sim/entry/systems/benchmark_rows.hpp"
#include "sim/entry/systems/served_engine.hpp"

namespace tandem::entry {
namespace {

/// Factor from a table's unit to that of served_figures(); a rate of one GPU counts for all.
double scale_of(const ManifestSystemMetric& metric, const ServedRow& row, std::int64_t gpus) {
  if (metric.unit == "s") return 1e3;
  if (metric.unit == "mW") return 1e-3;
  const bool per_gpu = row.text("unit").find("per GPU") != std::string::npos;
  return per_gpu ? static_cast<double>(gpus) : 1;
}

/// The name of served_figures() for a metric of a table.
std::string figure_of(const ManifestSystemMetric& metric) {
  return metric.unit == "fraction of TDP" ? metric.name + "_of_limit" : metric.name;
}

std::optional<double> measured_of(const ManifestSystemMetric& metric, const CsvTable& csv,
                                  std::size_t row) {
  const auto column = csv.find(metric.column);
  if (!column) return std::nullopt;
  const std::string& cell = csv.cell(row, *column);
  char* end = nullptr;
  const double value = std::strtod(cell.c_str(), &end);
  if (cell.empty() || *end != '\0' || value <= 0) return std::nullopt;
  return value;
}

NamedRow inputs_of(const ManifestSystemTable& table, const ServedRow& row, const ServedCase& served,
                   const std::string& layer) {
  NamedRow inputs;
  for (const auto& [name, column] : table.columns) inputs[name] = {row.text(name), {}};
  for (const auto& [name, value] : table.fixed) inputs[name] = {row.text(name), {}};
  inputs["run_model"] = {served.model, {}};
  inputs["run_chip"] = {served.chip, {}};
  inputs["run_chips"] = {std::to_string(served.gpus), {}};
  inputs["run_users"] = {std::to_string(served.users), {}};
  inputs["run_layer"] = {layer, {}};
  return inputs;
}

}  // namespace

const std::vector<std::string>& run_inputs() {
  static const std::vector<std::string> names = {"run_model", "run_chip", "run_chips", "run_users",
                                                 "run_layer"};
  return names;
}

SystemTables::SystemTables(const Context& context, const Predictor& predictor,
                           ServedOptions options)
    : predictor_(predictor), names_(context), runs_(context, std::move(options)) {}

ServedRow SystemTables::completed(const ManifestSystemTable& table, const CsvTable& csv,
                                  std::size_t row) {
  const auto [counts, is_new] = counts_.try_emplace(table.file, table, csv);
  ServedRow served(table, csv, row);
  counts->second.complete(served);
  complete_row(table.file, served);
  return served;
}

std::map<std::string, ScoredServices> SystemTables::predict(const ManifestSystemTable& table,
                                                            const CsvTable& csv,
                                                            const std::vector<std::size_t>& rows,
                                                            const Tick& tick) {
  std::map<std::string, ScoredServices> scored;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const ServedRow row = completed(table, csv, rows[i]);
    const std::string layer = predictor_.software_for(framework_of(row));
    ServedCase served = served_case(row, names_, layer);
    adapt_case(table.file, row, served);
    const ServedAnswer& answer = runs_.answer(served);
    const MeasuredRow inputs{csv.place(rows[i], 0), inputs_of(table, row, served, layer), 0, ""};
    for (const ManifestSystemMetric& metric : table.metrics) {
      const auto measured = measured_of(metric, csv, rows[i]);
      if (!measured) continue;
      ScoredRow one;
      one.measured = *measured * scale_of(metric, row, served.gpus);
      const auto figure = answer.figures.find(figure_of(metric));
      if (figure != answer.figures.end()) {
        one.predicted = figure->second;
        const auto band = answer.bands.find(figure_of(metric));
        if (band != answer.bands.end()) one.band = band->second;
      } else {
        one.reason = answer.reason.empty()
                         ? fmt::format("'{}' of services is not predicted yet", metric.name)
                         : answer.reason;
      }
      scored[metric.name].rows.push_back(inputs);
      scored[metric.name].scored.push_back(std::move(one));
    }
    tick(i + 1, rows.size());
  }
  return scored;
}

}  // namespace tandem::entry
