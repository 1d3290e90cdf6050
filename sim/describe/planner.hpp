// Autoscaling: how many replicas of each pool take requests, decided anew every interval.
#pragma once

#include <cstdint>

#include "sim/core/units.hpp"

namespace tandem {

/// Objectives and limits of a planner. Placements say how many replicas a pool has at most.
struct Planner {
  Picoseconds interval{0};          ///< between decisions
  Picoseconds ttft{0};              ///< mean time to the first token that is aimed at
  Picoseconds itl{0};               ///< mean time between tokens that is aimed at
  Picoseconds start_time{0};        ///< from a decision until a further replica takes requests
  std::int64_t least_replicas = 1;  ///< of each pool
  std::int64_t chip_budget = 0;     ///< most chips of all pools together; 0: all that are placed
  bool corrects = true;             ///< by what was measured over what was expected
  double power_cap_w = 0;           ///< of all pools together; 0: none
  double prefill_chip_w = 0;        ///< what a chip of a replica for prompts counts towards the cap
  double decode_chip_w = 0;         ///< the same of a replica for tokens
};

}  // namespace tandem
