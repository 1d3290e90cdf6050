// The gangs of scenarios: chips that share a stage, of one node or tray joined all to all by their
// own links, or spread evenly over several trays. All run one schedule and are alike, so one
// machine answers for all of them.
#pragma once

#include <span>

#include "models/lpu/compiler/compiler.hpp"
#include "models/lpu/machine.hpp"

namespace tandem::lpu {

/// A gang of its own, with the links that its stage's hidden state takes: ports that the gang
/// leaves free where the chip has any.
struct NodeGang {
  Topology topology;
  Gang gang;
  LinkPlan links;
};

/// The fewest trays that do. Throws ModelError where the chip has too few ports.
[[nodiscard]] NodeGang node_gang(const Geometry& geometry, std::int64_t chips);

/// The geometry of a stage's chips, with the links of their gang.
[[nodiscard]] Geometry geometry_of_share(const Geometry& geometry, std::int64_t chips);

/// make_layout for what one of the stage's chips holds.
[[nodiscard]] StageLayout layout_of_share(const Geometry& geometry, const Stage& stage, int slots,
                                          std::int64_t max_context, int tokens = 1);

/// compile_stage or compile_gang_stage, by the stage's gang.
[[nodiscard]] CompiledStage compile_share(const Geometry& geometry, const LatencyTable& latencies,
                                          const std::string& chip, const Stage& stage, int slots,
                                          std::int64_t max_context, const PassShape& pass = {});

/// Runs the first rank's program on a machine without numbers, with what the stage before sends and
/// what the gang's other chips send: the same in the same cycles as this one. The machine has the
/// program loaded and its registers set, and `geometry` is geometry_of_share(); the pass is
/// predicted to take `pass_cycles`.
[[nodiscard]] RunResult run_share(Machine& machine, const Geometry& geometry,
                                  const CompiledStage& stage, std::int64_t pass_cycles,
                                  const RunTimeline& timeline);

}  // namespace tandem::lpu
