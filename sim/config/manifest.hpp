// The manifest of measured tables: which columns of which CSV file are the inputs and the truth of
// which operator on which chip. Only the manifest is read here, never the tables.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "sim/core/diagnostics.hpp"

namespace tandem {

/// One condition on the rows of a table; filters apply in the order written.
struct ManifestFilter {
  enum class Kind { Keep, Drop, Minimum };
  Kind kind = Kind::Keep;
  std::string column;               ///< of the CSV file
  std::vector<std::string> values;  ///< keep: cell is one of them; drop: cell is none of them
  double minimum = 0;               ///< Minimum: cell is a number of at least this
  SourcePlace place;
};

/// What a table measures.
enum class ManifestTarget { Latency, Power };

/// One measured table of one operator on one chip.
struct ManifestTable {
  std::string id;
  std::string file;  ///< relative to the manifest's folder
  std::string op;
  std::string chip;
  std::string software;
  ManifestTarget target = ManifestTarget::Latency;
  std::string measured;  ///< CSV column with the truth
  std::string unit;      ///< as written
  double scale = 1;      ///< measured * scale is in milliseconds (latency) or watts (power)
  std::vector<std::pair<std::string, std::string>> columns;  ///< canonical input -> CSV column
  std::vector<std::pair<std::string, std::string>> fixed;    ///< canonical input -> constant
  std::vector<ManifestFilter> filters;
  std::int64_t rows = 0;  ///< rows that the manifest says are left after the filters
  /// Its rows come from runs long enough to measure power: the manifest says so, or a table has the
  /// power of the same file.
  bool sustained = false;
  SourcePlace place;
  SourcePlace file_place;
};

/// One figure of a system table, e.g. {"ttft", "silicon_ttft_ms", "ms"}. `column` may be a formula
/// over columns.
struct ManifestSystemMetric {
  std::string name;
  std::string column;
  std::string unit;
};

/// One table of whole services.
struct ManifestSystemTable {
  std::string file;
  std::string system;         ///< the system of all rows; empty: `system_column` has it
  std::string system_column;  ///< empty: none
  std::string software;       ///< of all rows; empty: varies or unknown
  std::map<std::string, std::string> columns;  ///< canonical name -> column of the file
  std::map<std::string, std::string> fixed;    ///< canonical name -> value of all rows
  std::vector<ManifestSystemMetric> metrics;
  std::int64_t rows = 0;
  SourcePlace place;
  SourcePlace file_place;
};

struct Manifest {
  std::string folder;
  std::vector<ManifestTable> tables;
  std::vector<ManifestSystemTable> system_tables;
  /// Keys that this program does not know: they change nothing, but the user should hear of them.
  std::vector<Diagnostic> unknown_keys;
};

/// Reads `folder`/manifest.yaml, format 1. Throws ConfigError with every complaint and its place.
[[nodiscard]] Manifest load_manifest(const std::string& folder);

}  // namespace tandem
