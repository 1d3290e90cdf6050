// `tandem validate`: every measured table of a folder against predictions.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "sim/entry/context.hpp"
#include "sim/entry/validation/figures.hpp"
#include "sim/entry/validation/measured_rows.hpp"
#include "sim/entry/validation/predictor.hpp"

namespace tandem::entry {

struct ValidationRequest {
  std::string folder;  ///< holds manifest.yaml
  std::string only;    ///< keeps entries whose file, op or chip contains this; empty: all
  RowSample sample;
  PredictorOptions predictor;
  bool with_rows = false;  ///< makes rows_csv
  /// Lines of tables of services to keep; none: all.
  std::vector<std::int64_t> lines = {};
  /// Folder of reusable step results, for rows of whole services; none: nothing is kept.
  std::optional<std::string> store = std::nullopt;
  bool maps_only = false;  ///< sets the scenarios of services up without running them
};

/// One table, element type and metric.
struct ValidationEntry {
  std::string table;  ///< the manifest's id; empty for system tables
  std::string file;
  std::string op;
  std::string chip;  ///< of system tables: the system
  std::string dtype;
  std::string software;  ///< the manifest's framework
  std::string layer;     ///< the software layer that predicted
  std::string metric;
  std::int64_t table_rows = 0;  ///< after the filters, before sampling
  ErrorFigures figures;
  std::map<std::string, std::int64_t> not_predicted;  ///< reason -> rows
};

/// Figures over all predicted latencies of one operator on one chip.
struct ValidationSummary {
  std::string op;
  std::string chip;
  ErrorFigures figures;
};

struct ValidationAnswer {
  std::vector<ValidationEntry> entries;  ///< in the manifest's order
  std::vector<ValidationSummary> summaries;
  std::vector<Diagnostic> notes;  ///< unknown keys, row counts that differ from the manifest's
  std::string rows_csv;
};

/// Throws ConfigError where the manifest, a file it names or the request is wrong.
[[nodiscard]] ValidationAnswer validate(const Context& context, const ValidationRequest& request);

/// The answer for people: entries, summaries, and rows that were not predicted by reason.
[[nodiscard]] std::string validation_page(const ValidationAnswer& answer);

/// The answer as JSON: {"tables": [{file, op, chip, dtype, software, metric, rows, ...}]}.
[[nodiscard]] std::string validation_json(const ValidationAnswer& answer);

}  // namespace tandem::entry
