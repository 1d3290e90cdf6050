// The numbers that a group of ranks works with: its link class, its chips' blocks, and the wires.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "models/link/collectives/schedule.hpp"
#include "models/link/network.hpp"
#include "sim/describe/scenario.hpp"
#include "sim/lower/collective.hpp"

namespace tandem::link {

/// A group of ranks on a system. Constants come from the link class that joins them (see
/// docs/decisions/collectives.md), the rest from the chips.
struct Fabric {
  Picoseconds entry;       ///< of a call into the communication library
  Picoseconds launch;      ///< of a kernel that is part of a graph
  Picoseconds latency;     ///< shortest way from one rank to another
  Picoseconds local_read;  ///< of a flag in the chip's own L2
  double clock = 0;        ///< of the SMs, hertz
  std::int64_t sms = 0;
  std::int64_t channels = 0;  ///< blocks of the library's rings
  double staged_copy = 0;     ///< bytes per clock and block, elements with flags between
  double direct_copy = 0;     ///< the same for whole slices
  bool can_reduce_in_switch = false;
  BytesPerSecond port;         ///< least over ranks of all links that leave one, at full rate
  RankNodes nodes;             ///< ranks by node of the system
  std::vector<NodeId> places;  ///< where ranks are, then the switch that all share, if any
  Topology topology;           ///< links at the rate that ranks' stores reach
  Topology switch_topology;    ///< links at the rate of in-switch reduction
};

/// Throws ModelError when a rank is named twice, does not exist or is no GPU.
[[nodiscard]] Fabric make_fabric(const System& system, const std::vector<ChipAddress>& ranks);

}  // namespace tandem::link
