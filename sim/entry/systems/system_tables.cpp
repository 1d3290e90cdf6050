#include "sim/entry/systems/system_tables.hpp"

#include <fmt/format.h>

#include <cstdlib>

#include "sim/entry/systems/benchmark_rows.hpp"

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

}  // namespace

SystemTables::SystemTables(const Context& context, const Predictor& predictor,
                           ServedOptions options)
    : predictor_(predictor), names_(context), runs_(context, std::move(options)) {}

std::map<std::string, std::vector<ScoredRow>> SystemTables::predict(
    const ManifestSystemTable& table, const CsvTable& csv, const std::vector<std::size_t>& rows,
    const Tick& tick) {
  std::map<std::string, std::vector<ScoredRow>> scored;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    ServedRow row(table, csv, rows[i]);
    complete_row(table.file, row);
    const std::string layer = predictor_.software_for(framework_of(row));
    ServedCase served = served_case(row, names_, layer);
    adapt_case(table.file, row, served);
    const ServedAnswer& answer = runs_.answer(served);
    for (const ManifestSystemMetric& metric : table.metrics) {
      const auto measured = measured_of(metric, csv, rows[i]);
      if (!measured) continue;
      ScoredRow one;
      one.measured = *measured * scale_of(metric, row, served.gpus);
      const auto figure = answer.figures.find(figure_of(metric));
      if (figure != answer.figures.end()) {
        one.predicted = figure->second;
      } else {
        one.reason = answer.reason.empty()
                         ? fmt::format("'{}' of services is not predicted yet", metric.name)
                         : answer.reason;
      }
      scored[metric.name].push_back(std::move(one));
    }
    tick(i + 1, rows.size());
  }
  return scored;
}

}  // namespace tandem::entry
