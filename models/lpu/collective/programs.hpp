// Collectives as programs of their own: what a rack runs to move or reduce vectors and nothing
// else.
#pragma once

#include <cstdint>
#include <vector>

#include "models/lpu/collective/collective.hpp"

namespace tandem::lpu {

/// One program per rank, where its data lie, and what the run takes.
struct CollectiveProgram {
  std::vector<Program> programs;
  CollectiveBlocks blocks;
  int vectors = 0;          ///< of data per chip
  std::int64_t cycles = 0;  ///< predicted; as RackResult::cycles
};

/// A chip with the topology's links and the latencies to schedule with.
struct CollectiveChip {
  Geometry geometry;
  LatencyTable latencies;
};

/// All-reduce of `vectors` fp32 vectors of a gang. Throws ModelError for a plan it does not allow
/// and for blocks that do not fit a bank.
[[nodiscard]] CollectiveProgram compile_all_reduce(const Topology& topology, const Gang& gang,
                                                   const CollectiveChip& chip, ReducePlan plan,
                                                   int vectors);
[[nodiscard]] CollectiveProgram compile_reduce_scatter(const Topology& topology, const Gang& gang,
                                                       const CollectiveChip& chip, int vectors);
[[nodiscard]] CollectiveProgram compile_all_gather(const Topology& topology, const Gang& gang,
                                                   const CollectiveChip& chip, int vectors);
/// `input` of chip `root` into `output` of all other chips of the topology, along shortest ways;
/// every chip passes a row on as soon as it has it.
[[nodiscard]] CollectiveProgram compile_broadcast(const Topology& topology,
                                                  const CollectiveChip& chip, int root,
                                                  int vectors);

/// The plan with the fewest predicted cycles among those that a gang allows and whose blocks fit.
[[nodiscard]] ReducePlan fastest_plan(const Topology& topology, const Gang& gang,
                                      const CollectiveChip& chip, int vectors);

}  // namespace tandem::lpu
