// What differs between a baseline and a run of one of its entries.
#pragma once

#include <string>
#include <vector>

#include "sim/entry/checks/baseline_check.hpp"

namespace tandem::entry {

/// Configuration parts that differ, with the keys and by how much, and the families of kernels
/// whose time did, largest first. Says so where the configuration is as it was but times moved.
[[nodiscard]] std::vector<std::string> moved_parts(const Baseline& baseline,
                                                   const BaselineEntry& entry,
                                                   const EntryOutcome& outcome);

}  // namespace tandem::entry
