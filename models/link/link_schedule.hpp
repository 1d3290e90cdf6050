// When one direction of a link is busy. A plain object without events: the network asks it for
// time.
#pragma once

#include <utility>
#include <vector>

#include "sim/core/units.hpp"

namespace tandem::link {

/// Start of the first and end of the last piece of a reservation.
struct Slot {
  Picoseconds start;
  Picoseconds end;
};

/// Busy intervals of a link, present and future.
///
/// Contract: calls come with `now` not decreasing; `ready` is never before `now`.
class LinkSchedule {
 public:
  /// Takes `duration` of the link's free time from `ready` on, around what is taken already: the
  /// link sends packets, so a train may be split by packets of another. The link is never left idle
  /// while something is ready. Zero duration takes nothing and starts and ends at `ready`.
  Slot reserve(Picoseconds now, Picoseconds ready, Picoseconds duration);
  /// Total time reserved.
  [[nodiscard]] Picoseconds busy() const { return busy_; }
  /// The same, which begins anew.
  Picoseconds take_busy() { return std::exchange(busy_, Picoseconds(0)); }

 private:
  struct Interval {
    Picoseconds start;
    Picoseconds end;
  };
  void insert(std::size_t position, Interval piece);

  std::vector<Interval> intervals_;  // disjoint, ascending, touching ones merged; none before now
  Picoseconds busy_{0};
};

}  // namespace tandem::link
