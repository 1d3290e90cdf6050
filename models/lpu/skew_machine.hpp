// The machine without the time frame of superlane 0: superlanes are ticked one by one, each one
// cycle behind the one before it, as tiles of the chip are. Slow, and there to show that the frame
// changes nothing: an instruction issued in cycle t acts in superlane k in cycle t + k.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "models/lpu/machine.hpp"

namespace tandem::lpu {

/// Runs a program functionally, superlane by superlane. It moves every stream register in every
/// cycle, keeps results that are on their way, and mixes superlanes only by what they have really
/// delivered by then.
///
/// Contract:
///  - as Machine, with these limits: Config and Flag are refused (ModelError), no timeline, no
///  counts
///  - it faults (ScheduleError) where an operand is missing (H4), two results meet (H3), or lanes
///  of
///    another superlane have not arrived; it does not look for conflicts of banks, planes and
///    links, which have nothing to do with skew
class SkewMachine {
 public:
  SkewMachine(const Geometry& geometry, const LatencyTable& latency);
  ~SkewMachine();
  void load(const ProgramImage& image);
  void set_register(int index, std::uint16_t value);
  [[nodiscard]] std::vector<std::uint8_t> read_row(int slice, int bank, int row) const;
  /// Cycles and outbound vectors; `counts` stays empty.
  RunResult run(std::span<const LinkVector> inbound = {});

 private:
  class Core;
  std::unique_ptr<Core> core_;
};

}  // namespace tandem::lpu
