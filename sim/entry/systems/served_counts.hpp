// How many engines the pools of a disaggregated row have, where the row does not say.
#pragma once

#include <cstddef>
#include <vector>

#include "sim/config/csv.hpp"
#include "sim/config/manifest.hpp"
#include "sim/entry/systems/served_row.hpp"

namespace tandem::entry {

/// Rows of one table that say how many engines there are, for those that do not.
class EngineCounts {
 public:
  EngineCounts(const ManifestSystemTable& table, const CsvTable& csv);
  /// Completes a disaggregated row without counts: from the row with its very figures, which is the
  /// same measurement and settles how pools are shared too; else from that of the same GPU, engine,
  /// format, lengths and sizes of pools at the nearest concurrency (by its ratio).
  void complete(ServedRow& row) const;

 private:
  std::vector<ServedRow> complete_;
};

}  // namespace tandem::entry
