// Which streams an instruction reads and writes, for people who follow a vector across the chip.
#pragma once

#include <vector>

#include "models/lpu/geometry.hpp"
#include "models/lpu/isa.hpp"

namespace tandem::lpu {

/// `count` streams from `first` on, at the position of the instruction's queue.
struct StreamUse {
  StreamRef first;
  int count = 1;
  int latency = 0;  ///< results: cycles from issue to the stream cell; operands: 0
  bool operator==(const StreamUse&) const = default;
};

/// Operands and results of one issue.
struct StreamUses {
  std::vector<StreamUse> operands;
  std::vector<StreamUse> results;
};

[[nodiscard]] StreamUses streams_used(const Instruction& instruction, const Geometry& geometry,
                                      const LatencyTable& latencies);

}  // namespace tandem::lpu
