// Dependency graphs with a duration per vertex: what a forward pass is to this room.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sim/core/units.hpp"

namespace tandem {

/// Vertex i takes duration[i] and starts when all of depends_on[i] are done. `label` is for DOT
/// export: empty, or one per vertex.
struct WeightedDag {
  std::vector<std::vector<std::int32_t>> depends_on;
  std::vector<Picoseconds> duration;
  std::vector<std::string> label;
};

/// The chain of dependent vertices that takes longest. `members` in order of execution; of equal
/// chains the one with the lowest indices, decided from the end.
struct CriticalPath {
  Picoseconds total;
  std::vector<std::int32_t> members;
};

/// When each vertex is done if it starts as soon as its dependencies allow. Throws ModelError when
/// sizes disagree, an index is out of range or the graph has a cycle.
[[nodiscard]] std::vector<Picoseconds> earliest_finish(const WeightedDag& dag);

/// Longest path (critical path method; Kelley and Walker 1959). Same errors.
[[nodiscard]] CriticalPath critical_path(const WeightedDag& dag);

/// Graphviz text; the critical path is drawn bold.
[[nodiscard]] std::string to_dot(const WeightedDag& dag);

}  // namespace tandem
