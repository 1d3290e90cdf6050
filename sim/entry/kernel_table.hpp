// Turns rows of a CSV table into kernels, for `tandem kernels`.
#pragma once

#include <string>
#include <vector>

#include "sim/entry/csv.hpp"
#include "sim/lower/kernel.hpp"

namespace tandem::entry {

/// One row: the kernel and whether its operands are resident in the last-level cache at entry.
struct KernelRow {
  Kernel kernel;
  bool warm = false;
};

/// Names of the operators that rows can ask for.
[[nodiscard]] std::vector<std::string> kernel_operators();

/// All rows as kernels of operator `op`. Throws ConfigError with every missing column and every bad
/// cell.
[[nodiscard]] std::vector<KernelRow> kernel_rows(const CsvTable& table, const std::string& op);

}  // namespace tandem::entry
