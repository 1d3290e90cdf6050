// The values that the paths of a sweep take: lists, ranges, bundles of paths, samples.
#pragma once

#include <string>
#include <vector>

#include "sim/config/map_reader.hpp"
#include "sim/config/sweep.hpp"

namespace tandem::config {

/// One way to change a scenario: the changes of one path, or of several together.
using Changes = std::vector<SweepChange>;

/// A node as YAML on one line.
[[nodiscard]] std::string flow_text(const Tree& tree);

/// Paths and the one value that each has, as `set` writes them.
[[nodiscard]] Changes read_changes(const Tree& tree, ReadContext& context);

/// Every combination of the paths under `vary`, the first slowest; one without changes where it is
/// null. Empty after a complaint.
[[nodiscard]] std::vector<Changes> read_grid(const Tree* vary, ReadContext& context);

/// The points of a `sample`; one without changes where it is null. Each path draws from a stream of
/// its own.
[[nodiscard]] std::vector<Changes> read_sample(const Tree* sample, ReadContext& context);

}  // namespace tandem::config
