// Tables of measured services against runs of their scenarios.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "sim/config/csv.hpp"
#include "sim/entry/systems/served_counts.hpp"
#include "sim/entry/systems/served_runs.hpp"
#include "sim/entry/validation/figures.hpp"
#include "sim/entry/validation/measured_rows.hpp"
#include "sim/entry/validation/predictor.hpp"

namespace tandem::entry {

/// Rows of one metric of a table.
struct ScoredServices {
  /// Inputs are those of the manifest, and what was run for the row: run_model, run_chip,
  /// run_chips, run_users, run_layer.
  std::vector<MeasuredRow> rows;
  std::vector<ScoredRow> scored;
};

/// Names of the inputs that stand for what was run.
[[nodiscard]] const std::vector<std::string>& run_inputs();

/// Predicts rows of whole services.
class SystemTables {
 public:
  /// Called now and then: rows done, rows in all.
  using Tick = Predictor::Tick;

  /// `predictor` chooses software layers; it outlives this.
  SystemTables(const Context& context, const Predictor& predictor, ServedOptions options);

  /// By metric of the table, the rows in their order: those without a measured figure left out.
  [[nodiscard]] std::map<std::string, ScoredServices> predict(const ManifestSystemTable& table,
                                                              const CsvTable& csv,
                                                              const std::vector<std::size_t>& rows,
                                                              const Tick& tick);

 private:
  ServedRow completed(const ManifestSystemTable& table, const CsvTable& csv, std::size_t row);

  const Predictor& predictor_;
  ServedNames names_;
  ServedRuns runs_;
  std::map<std::string, EngineCounts> counts_;  ///< by file
};

}  // namespace tandem::entry
