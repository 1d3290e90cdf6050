// The chips and fabrics of hw_configs/, as the executable loads them.
#pragma once

#include "models/lpu/chip_model.hpp"
#include "models/lpu/chip_params.hpp"
#include "models/lpu/rack/topology.hpp"
#include "sim/config/loader.hpp"

namespace tandem::lpu::testing {

inline Loader shipped() {
  return Loader(find_roots(), {{"lpu", lpu_schema()}});
}

/// A fabric with `units` of its outermost levels, and the geometry and latencies of its chips.
struct ShippedFabric {
  explicit ShippedFabric(const std::string& name, std::vector<int> units = {},
                         HopMode mode = HopMode::Scheduled)
      : fabric(shipped().fabric(name)),
        chip(shipped().chip(fabric.chip)),
        topology(fabric, units, mode),
        geometry(topology.with_links(geometry_of(chip))),
        latencies(latencies_of(chip)) {}
  Fabric fabric;
  Chip chip;
  Topology topology;
  Geometry geometry;
  LatencyTable latencies;
};

}  // namespace tandem::lpu::testing
