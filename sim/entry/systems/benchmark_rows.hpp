// What the authors of a table of energy fixed in all of its runs and did not write into its rows.
#pragma once

#include <string>

#include "sim/entry/systems/served_case.hpp"
#include "sim/entry/systems/served_row.hpp"

namespace tandem::entry {

/// Adds the cells that rows of ML.ENERGY and of MLPerf's power runs leave out; other tables keep
/// theirs. `file` is that of the table.
void complete_row(const std::string& file, ServedRow& row);

/// Turns the closed loop of such a row into the load of its benchmark: requests that wait whenever
/// there is room for one, read while the engine is full; limits of power, copies of the engine.
void adapt_case(const std::string& file, const ServedRow& row, ServedCase& served);

}  // namespace tandem::entry
