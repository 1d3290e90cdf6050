// When the programs of a gang that loops over its layers begin.
#pragma once

#include <set>
#include <vector>

#include "sim/core/units.hpp"
#include "sim/step/ping_pong.hpp"

namespace tandem {

/// Turns of one layer's program: the first one's start, and the time from one to the next.
struct ProgramTurns {
  Picoseconds first;
  Picoseconds period;
  std::set<std::int64_t> taken;
  /// Takes the next free turn from `ready` on and returns its start.
  Picoseconds take(Picoseconds ready);
};

/// One per visit: every gang begins at time 0 with the first of its layers, and again when all of
/// them have had their service.
[[nodiscard]] std::vector<ProgramTurns> turns_of(const std::vector<FeedForwardVisit>& visits);

}  // namespace tandem
