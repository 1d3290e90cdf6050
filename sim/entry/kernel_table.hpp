// Turns rows of named cells into kernels, for `tandem kernels` and `tandem validate`.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "sim/core/diagnostics.hpp"
#include "sim/entry/csv.hpp"
#include "sim/lower/kernel.hpp"

namespace tandem::entry {

/// A cell of a row: its text and where it was written.
struct NamedCell {
  std::string text;
  SourcePlace place;
};

/// The inputs of one kernel by their canonical names ("m", "kv_len", "dtype", "l2").
using NamedRow = std::map<std::string, NamedCell, std::less<>>;

/// One row: the kernel and whether its operands are resident in the last-level cache at entry.
struct KernelRow {
  Kernel kernel;
  bool warm = false;
};

/// Names of the operators that rows can ask for.
[[nodiscard]] std::vector<std::string> kernel_operators();

/// One row as a kernel of operator `op`, one of kernel_operators(). Missing and bad cells go to
/// `sink`, and the kernel is then of no use; names that the operator does not know are ignored.
[[nodiscard]] KernelRow kernel_row(const std::string& op, const NamedRow& row,
                                   DiagnosticSink& sink);

/// All rows as kernels of operator `op`. Throws ConfigError with every missing column and every bad
/// cell.
[[nodiscard]] std::vector<KernelRow> kernel_rows(const CsvTable& table, const std::string& op);

}  // namespace tandem::entry
