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
/// null. A path whose values cannot be read is left out after a complaint.
[[nodiscard]] std::vector<Changes> read_grid(const Tree* vary, ReadContext& context);

/// The points of a `sample`; one without changes where it is null. Each path draws from a stream of
/// its own.
[[nodiscard]] std::vector<Changes> read_sample(const Tree* sample, ReadContext& context);

/// Adds the points of the map that `scenario`, `set`, `vary` and `sample` stand in, `common`
/// changes first. A scenario's path that exists beside the sweep's file is meant from there.
void read_one_grid(const MapReader& reader, const Changes& common, Sweep& sweep,
                   ReadContext& context);

/// Adds the points of a list of such maps; `subject` is what complaints call one.
void read_grids(const Tree& grids, const std::string& subject, const Changes& common, Sweep& sweep,
                ReadContext& context);

/// Adds the conditions under the key `constraints`.
void read_constraints(const MapReader& reader, Sweep& sweep, Problems& problems);

}  // namespace tandem::config
