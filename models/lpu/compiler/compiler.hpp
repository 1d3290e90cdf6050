// Turns a stage of a dense decoder into one program for a pass of one or more tokens, with the
// exact cycle of every instruction, and predicts the cycles of that program.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "models/lpu/collective/gang.hpp"
#include "models/lpu/compiler/emitter.hpp"
#include "models/lpu/compiler/layout.hpp"
#include "models/lpu/compiler/loop_plan.hpp"
#include "models/lpu/compiler/operator_use.hpp"
#include "models/lpu/geometry.hpp"
#include "models/lpu/isa.hpp"

namespace tandem::lpu {

/// How the hidden state travels between the chips of a pipeline.
struct LinkPlan {
  int receive_link = 0;  ///< even: West
  int send_link = 1;     ///< odd: East
};

/// The chips that hold a stage together, and the network they are in.
struct TensorGang {
  const Topology* topology;
  const Gang* gang;
};

/// A compiled stage. `layout` says where things are; `program` is all the machine gets. A gang has
/// one schedule: `program` names rows that differ by rank by registers, program_of() puts a rank's
/// rows in.
struct CompiledStage {
  StageLayout layout;
  int tokens = 1;  ///< of a pass
  Program program;
  RankRows rank_rows;
  CyclePrediction cycles;
  std::vector<std::int64_t> iteration_cycles;  ///< of one further iteration, by token of a pass
  std::vector<std::int64_t> window_iteration_cycles;  ///< likewise, of layers with a window
  LinkPlan links;
  /// Cycles (from the Notify) in which the hidden state's bytes arrive or leave, in the order
  /// vector, byte. Empty for a first (last) stage.
  std::vector<std::int64_t> receive_cycles;
  std::vector<std::int64_t> send_cycles;
  std::int64_t instructions = 0;       ///< words of all queues
  std::vector<OperatorUse> operators;  ///< in program order
  /// Cycles of a pass whose tokens have so many KV blocks; missing tokens fill it up.
  [[nodiscard]] std::int64_t cycles_of(const std::vector<std::int64_t>& blocks) const;
  /// Whether a vector that a chip sends is of the hidden state for the next stage, not of what a
  /// gang exchanges. In a pass of `pass_cycles`, all of it leaves behind the loops over KV blocks.
  [[nodiscard]] bool passes_on(int link, std::int64_t cycle, std::int64_t pass_cycles) const;
  std::vector<LoopUse> loops;           ///< over KV blocks, in program order
  std::optional<LoopPlan> plan;         ///< of those over all blocks; empty where there are none
  std::optional<LoopPlan> window_plan;  ///< of those over the blocks of a window
  [[nodiscard]] Program program_of(int rank) const { return rank_rows.bind(program, rank); }
  /// The same stage as one rank sees it: its rows in the program, its part of the head.
  [[nodiscard]] CompiledStage of_rank(const Stage& whole, int rank) const;
  [[nodiscard]] Bytes program_bytes() const { return Bytes(instructions * instruction_bytes); }
};

/// What passes a program is for. Programs of one stage for several numbers of tokens share their
/// SRAM, and thus weights and KV, where all are compiled with `room` for the most of them.
struct PassShape {
  int tokens = 1;
  int room = 1;
  /// Of the loops over KV blocks; empty: the plan with the fewest cycles over all contexts.
  std::optional<LoopPlan> loops{};
  /// The same for layers with a window.
  std::optional<LoopPlan> window_loops{};
  int top = 0;  ///< best tokens that a head gives with their logits; up to most_top_tokens
};

/// Compiles a stage for `slots` requests of up to `max_context` tokens each. Deterministic. Throws
/// ModelError for shapes it does not support and for stages that do not fit the chip.
[[nodiscard]] CompiledStage compile_stage(const Geometry& geometry, const LatencyTable& latencies,
                                          const std::string& chip, const Stage& stage, int slots,
                                          std::int64_t max_context, const LinkPlan& links = {},
                                          const PassShape& pass = {});

/// The same for a gang: every rank takes its share of the stage (rank_stage) and adds what it
/// contributes to the hidden state to the others' by an all-reduce in stripes, in the order of
/// ranks (over several trays: within each tray, then of trays). `geometry` has the topology's
/// links. Throws ModelError where heads do not divide or the gang's links do not join every chip to
/// every other.
[[nodiscard]] CompiledStage compile_gang_stage(const Geometry& geometry,
                                               const LatencyTable& latencies,
                                               const std::string& chip, const Stage& stage,
                                               int slots, std::int64_t max_context,
                                               const TensorGang& tensor, const LinkPlan& links = {},
                                               const PassShape& pass = {});

/// Radices whose product is `lanes`, for the cross-lane reductions: fours first, then 5, 3, 2.
/// Throws ModelError where a larger prime remains.
[[nodiscard]] std::vector<int> reduction_radices(int lanes);

}  // namespace tandem::lpu
