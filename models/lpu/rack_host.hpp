// A model on several LPUs: a gang of chips per stage, the stages one behind the other. Compiles all
// programs, finds the cycles in which they start, and decodes with real numbers.
#pragma once

#include <memory>
#include <vector>

#include "models/lpu/chip_host.hpp"
#include "models/lpu/rack/session.hpp"

namespace tandem::lpu {

/// How stages lie on a topology: stage s on the chips s * tensor .. s * tensor + tensor - 1.
struct RackPlan {
  std::vector<Stage> stages;  ///< whole ones; every rank takes its share
  int tensor = 1;
};

/// Programs of all chips of a rack, each started so that what is sent to it meets its Recv.
struct RackProgram {
  std::vector<Gang> gangs;            ///< by stage
  std::vector<CompiledStage> stages;  ///< by stage, for all ranks
  std::vector<CompiledStage> chips;   ///< by chip
  std::vector<std::int64_t> starts;   ///< by chip: cycle of its Notify
  [[nodiscard]] std::vector<Program> programs() const;
  /// From the first Notify to the end of the last stage, with `blocks` KV blocks.
  [[nodiscard]] std::int64_t cycles(std::int64_t blocks) const;
};

/// Compiles a plan for `slots` requests of up to `max_context` tokens. Throws ModelError where the
/// topology has too few chips, two gangs are not joined rank by rank by one link number, and as
/// compile_gang_stage.
[[nodiscard]] RackProgram compile_rack(const Topology& topology, const Geometry& chip,
                                       const LatencyTable& latencies, const RackPlan& plan,
                                       int slots, std::int64_t max_context);

/// What one token's way through all stages gave.
struct RackPass {
  RackResult run;
  std::vector<float> logits;  ///< of the whole head
  std::int32_t best_token = -1;
};

/// The chips with their weights, functional.
class RackHost {
 public:
  RackHost(const Topology& topology, const Geometry& chip, const LatencyTable& latencies,
           const RackPlan& plan, int slots, std::int64_t max_context, const Weights& weights);
  RackHost(const RackHost&) = delete;
  RackHost& operator=(const RackHost&) = delete;
  [[nodiscard]] const RackProgram& program() const { return program_; }
  /// Runs one token at `position` of the request in `slot`; `embedding` is its row of the table.
  RackPass run_token(int slot, std::int64_t position, std::span<const float> embedding);

 private:
  void collect(const RackResult& run, RackPass& pass) const;

  RackProgram program_;
  RackSession session_;
  std::vector<std::unique_ptr<ChipHost>> hosts_;  // by chip of the plan
};

}  // namespace tandem::lpu
