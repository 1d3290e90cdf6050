// Parameters of an LPU as chip files give them, and the geometry made of them.
#pragma once

#include "models/lpu/geometry.hpp"
#include "sim/describe/parameter.hpp"
#include "sim/describe/scenario.hpp"

namespace tandem::lpu {

/// Everything that a chip file may say about an LPU.
[[nodiscard]] ParameterSchema lpu_schema();

/// Latencies of the unit table of the machine description, as the chip file gives them.
[[nodiscard]] LatencyTable latencies_of(const Chip& chip);
[[nodiscard]] Geometry geometry_of(const Chip& chip);

/// The way between host and chip: every pass of a first stage brings a descriptor, every pass of a
/// last one takes the best token; chips in the middle of a pipeline get theirs while they wait.
struct HostLink {
  BytesPerSecond bandwidth{};
  Picoseconds latency{};
};
[[nodiscard]] HostLink host_link_of(const Chip& chip);

}  // namespace tandem::lpu
