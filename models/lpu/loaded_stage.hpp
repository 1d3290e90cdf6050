// A stage on an LPU that runs with real numbers, one pass after the other.
#pragma once

#include <memory>
#include <optional>

#include "models/lpu/chip_params.hpp"
#include "models/lpu/compiler/loop_plan.hpp"
#include "sim/lower/chip_model.hpp"

namespace tandem::lpu {

/// What is loaded, and for whom.
struct StageSetup {
  Geometry geometry;
  LatencyTable latencies;
  HostLink host;
  std::string chip;
  Stage stage;
  int sequences = 1;  ///< KV slots
  std::int64_t max_context = 1;
  int room = 1;  ///< most tokens of a pass, a power of two
  /// Of the timed programs, so that both take the same cycles.
  std::optional<LoopPlan> loops, window_loops;
};

/// Compiles, loads weights and constants, and keeps the KV slots.
[[nodiscard]] std::unique_ptr<LoadedStage> make_loaded_stage(const StageSetup& setup,
                                                             const Weights& weights);

}  // namespace tandem::lpu
