// The rows of a measured table that take part: filtered, sampled, and in canonical names.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "sim/config/csv.hpp"
#include "sim/config/manifest.hpp"
#include "sim/entry/kernel_table.hpp"

namespace tandem::entry {

/// Draws N rows of every table and element type; nothing: all rows.
struct RowSample {
  std::optional<std::int64_t> rows;
  std::uint64_t seed = 1;
};

/// One measured row.
struct MeasuredRow {
  SourcePlace place;
  NamedRow inputs;      ///< canonical names; constants of the manifest included
  double measured = 0;  ///< milliseconds or watts
  std::string problem;  ///< why it cannot be scored; empty: it can
};

/// The rows of one element type of a table.
struct MeasuredGroup {
  std::string dtype;            ///< empty: the table has none
  std::int64_t table_rows = 0;  ///< before sampling
  std::vector<MeasuredRow> rows;
};

/// Rows left after the filters, by their index. Throws ConfigError where a filter names a column
/// that the file lacks.
[[nodiscard]] std::vector<std::size_t> filtered_rows(const ManifestTable& table,
                                                     const CsvTable& csv);

/// `count` of the rows in their order, all when there are no more. Which ones depends on seed, name
/// and number of rows alone.
[[nodiscard]] std::vector<std::size_t> sampled_rows(std::vector<std::size_t> rows,
                                                    std::int64_t count, std::uint64_t seed,
                                                    const std::string& name);

/// A table's rows by element type, types in alphabetical order. Throws ConfigError where the
/// manifest names columns that the file lacks.
[[nodiscard]] std::vector<MeasuredGroup> measured_groups(const ManifestTable& table,
                                                         const CsvTable& csv,
                                                         const RowSample& sample);

}  // namespace tandem::entry
