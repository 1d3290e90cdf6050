// Rows of named cells as collectives over the chips of a system, for `tandem collectives` and
// `tandem validate`.
#pragma once

#include <string>
#include <vector>

#include "sim/entry/kernel_table.hpp"
#include "sim/lower/collective.hpp"

namespace tandem::entry {

/// Names of the operations, as `--op` takes them.
[[nodiscard]] const std::vector<std::string>& collective_operators();
[[nodiscard]] bool is_collective(const std::string& op);
/// Columns that a row of `op` must have.
[[nodiscard]] std::vector<std::string> collective_columns(const std::string& op);

/// What a row that does not say is taken for.
struct CollectiveDefaults {
  CollectiveEntry entry = CollectiveEntry::Library;
  MoeTransport transport = MoeTransport::LowLatency;
};

/// One row: the first `ranks` chips of the first pool of `system`, and the operation. Columns
/// beyond collective_columns(): dtype (elements), entry (in_graph or library), transport
/// (low_latency or bulk), sms, row_extra (bytes of a row besides its elements). Missing and bad
/// cells go to `sink`, and the row is then of no use.
struct CollectiveRow {
  std::vector<ChipAddress> ranks;
  Collective collective;
};
[[nodiscard]] CollectiveRow collective_row(const std::string& op, const NamedRow& row,
                                           const System& system, const CollectiveDefaults& defaults,
                                           DiagnosticSink& sink);

}  // namespace tandem::entry
