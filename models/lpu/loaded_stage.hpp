// A stage on an LPU that runs with real numbers, one token pass after the other.
#pragma once

#include <memory>

#include "models/lpu/chip_params.hpp"
#include "sim/lower/chip_model.hpp"

namespace tandem::lpu {

/// Compiles, loads weights and constants, and keeps KV slots for up to `sequences` requests.
[[nodiscard]] std::unique_ptr<LoadedStage> make_loaded_stage(
    const Geometry& geometry, const LatencyTable& latencies, const HostLink& host,
    const std::string& chip, const Stage& stage, const Weights& weights, int sequences,
    std::int64_t max_context);

}  // namespace tandem::lpu
