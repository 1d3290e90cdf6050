#include "sim/entry/validation/rows_csv.hpp"

#include <fmt/format.h>

#include <iterator>
#include <optional>
#include <set>

#include "sim/config/csv.hpp"
#include "sim/entry/systems/system_tables.hpp"

namespace tandem::entry {
namespace {

std::string number_or_nothing(const std::optional<double>& value) {
  return value ? fmt::format("{:.9g}", *value) : std::string{};
}

std::string band_cells(const std::optional<RowBand>& band) {
  if (!band) return ",,,,";
  return fmt::format("{:.9g},{:.9g},{:.9g},{:.9g},{:.9g}", band->low, band->high, band->kernels_low,
                     band->kernels_high, band->kernels_middle);
}

}  // namespace

RowsCsv::RowsCsv(const std::vector<const ManifestTable*>& tables,
                 const std::vector<const ManifestSystemTable*>& systems) {
  std::set<std::string> names;
  for (const ManifestTable* table : tables) {
    for (const auto& [name, column] : table->columns) names.insert(name);
    for (const auto& [name, value] : table->fixed) names.insert(name);
  }
  for (const ManifestSystemTable* table : systems) {
    for (const auto& [name, column] : table->columns) names.insert(name);
    for (const auto& [name, value] : table->fixed) names.insert(name);
    names.insert(run_inputs().begin(), run_inputs().end());
  }
  inputs_.assign(names.begin(), names.end());
  text_ = "table,metric,chip,op,line,";
  for (const std::string& name : inputs_) text_ += csv_quoted(name) + ",";
  text_ +=
      "measured,predicted,floor,baseline,bound,error_percent,band_low,band_high,kernels_low,"
      "kernels_high,kernels_middle,reason\n";
}

void RowsCsv::add(const ValidationEntry& entry, const std::vector<MeasuredRow>& rows,
                  const std::vector<ScoredRow>& scored) {
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const ScoredRow& row = scored[i];
    fmt::format_to(std::back_inserter(text_), "{},{},{},{},{},",
                   csv_quoted(entry.table.empty() ? entry.file : entry.table), entry.metric,
                   csv_quoted(entry.chip), csv_quoted(entry.op), rows[i].place.line);
    for (const std::string& name : inputs_) {
      const auto cell = rows[i].inputs.find(name);
      if (cell != rows[i].inputs.end()) text_ += csv_quoted(cell->second.text);
      text_ += ',';
    }
    const auto error = row.predicted
                           ? std::optional(100 * (*row.predicted - row.measured) / row.measured)
                           : std::nullopt;
    fmt::format_to(std::back_inserter(text_), "{:.9g},{},{},{},{},{},{},{}\n", row.measured,
                   number_or_nothing(row.predicted), number_or_nothing(row.floor),
                   number_or_nothing(row.baseline), row.bound, number_or_nothing(error),
                   band_cells(row.band), csv_quoted(row.reason));
  }
}

}  // namespace tandem::entry
