// When the programs of a gang that loops over its layers begin.
#pragma once

#include <set>
#include <vector>

#include "sim/core/units.hpp"
#include "sim/step/ping_pong.hpp"

namespace tandem {

/// Turns of one layer's program, of one pass each: the first one's start, and the time from one to
/// the next.
struct ProgramTurns {
  Picoseconds first;
  Picoseconds period;
  std::set<std::int64_t> taken;

  struct Visit {
    Picoseconds start;  ///< of the first pass
    Picoseconds end;    ///< of the last one
  };
  /// Gives every pass, not none, the next free turn from `ready` on.
  Visit take(Picoseconds ready, const std::vector<Picoseconds>& passes);
};

/// One per visit: every gang begins at time 0 with a pass of the first of its layers, and again
/// when all of them have had one, each for as long as its longest pass takes.
[[nodiscard]] std::vector<ProgramTurns> turns_of(const std::vector<FeedForwardVisit>& visits);

}  // namespace tandem
