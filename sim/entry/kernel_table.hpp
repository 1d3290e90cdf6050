// Turns rows of named cells into kernels, for `tandem kernels` and `tandem validate`.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "sim/config/csv.hpp"
#include "sim/core/diagnostics.hpp"
#include "sim/describe/scenario.hpp"
#include "sim/lower/chip_model.hpp"

namespace tandem::entry {

/// A cell of a row: its text and where it was written.
struct NamedCell {
  std::string text;
  SourcePlace place;
};

/// The inputs of one operator by their canonical names ("m", "kv_len", "dtype", "l2").
using NamedRow = std::map<std::string, NamedCell, std::less<>>;

/// Names of the operators that rows can ask for.
[[nodiscard]] std::vector<std::string> kernel_operators();

/// One row as the kernels that `software` runs for operator `op`, one of kernel_operators().
/// Missing and bad cells go to `sink`, and the run is then of no use; names that the operator does
/// not know are ignored. A cell "sustained" of 1 asks for the clock that the power limit allows.
[[nodiscard]] KernelRun kernel_row(const std::string& op, const NamedRow& row,
                                   const Software& software, DiagnosticSink& sink);

/// All rows of operator `op`; a row with bad cells, which go to the sink, is empty. Throws
/// ConfigError with every missing column.
[[nodiscard]] std::vector<KernelRun> kernel_rows(const CsvTable& table, const std::string& op,
                                                 const Software& software,
                                                 DiagnosticSink& bad_cells);

/// The same; throws ConfigError with every bad cell.
[[nodiscard]] std::vector<KernelRun> kernel_rows(const CsvTable& table, const std::string& op,
                                                 const Software& software);

}  // namespace tandem::entry
