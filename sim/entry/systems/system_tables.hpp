// Tables of measured services against runs of their scenarios.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "sim/config/csv.hpp"
#include "sim/entry/systems/served_runs.hpp"
#include "sim/entry/validation/figures.hpp"
#include "sim/entry/validation/predictor.hpp"

namespace tandem::entry {

/// Predicts rows of whole services.
class SystemTables {
 public:
  /// Called now and then: rows done, rows in all.
  using Tick = Predictor::Tick;

  /// `predictor` chooses software layers; it outlives this.
  SystemTables(const Context& context, const Predictor& predictor, ServedOptions options);

  /// By metric of the table, the rows in their order: those without a measured figure left out.
  [[nodiscard]] std::map<std::string, std::vector<ScoredRow>> predict(
      const ManifestSystemTable& table, const CsvTable& csv, const std::vector<std::size_t>& rows,
      const Tick& tick);

 private:
  const Predictor& predictor_;
  ServedNames names_;
  ServedRuns runs_;
};

}  // namespace tandem::entry
