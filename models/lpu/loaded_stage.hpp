// A stage on an LPU that runs with real numbers, one token pass after the other.
#pragma once

#include <memory>
#include <optional>

#include "models/lpu/chip_params.hpp"
#include "models/lpu/compiler/loop_plan.hpp"
#include "sim/lower/chip_model.hpp"

namespace tandem::lpu {

/// Compiles, loads weights and constants, and keeps KV slots for up to `sequences` requests.
/// `loops` is the plan of the timed program, so that both take the same cycles.
[[nodiscard]] std::unique_ptr<LoadedStage> make_loaded_stage(
    const Geometry& geometry, const LatencyTable& latencies, const HostLink& host,
    const std::string& chip, const Stage& stage, const Weights& weights, int sequences,
    std::int64_t max_context, const std::optional<LoopPlan>& loops);

}  // namespace tandem::lpu
