// What rows of InferenceX leave out: how many engines the pools of a disaggregated run had, and
// whether tokens were drafted.
#pragma once

#include <cstddef>
#include <vector>

#include "sim/config/csv.hpp"
#include "sim/config/manifest.hpp"
#include "sim/entry/systems/published_engines.hpp"
#include "sim/entry/systems/served_row.hpp"

namespace tandem::entry {

/// Rows of one table that say all of their runs, for those that do not. Rows out of the benchmark's
/// database ("db-dump") are complete, and of runs without drafts.
class EngineCounts {
 public:
  EngineCounts(const ManifestSystemTable& table, const CsvTable& csv);
  /// Sets the cell `drafts` (0: none), and pools where a disaggregated row has none: from the row
  /// with its very figures, which is the same run, else from the published run of its load. Where
  /// several were published, the one without drafts is ruled out by another row that is it; a row
  /// that several are left for stays as it is, without the cell `drafts`.
  void complete(ServedRow& row) const;

 private:
  void complete_pools(ServedRow& row) const;
  [[nodiscard]] const ServedRow* same_run(const ServedRow& row) const;
  /// Whether a listed run had this row's load.
  [[nodiscard]] bool is_listed(const ServedRow& row) const;

  std::vector<ServedRow> listed_;
};

}  // namespace tandem::entry
