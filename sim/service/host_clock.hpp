// When the host has a pass ready.
#pragma once

#include <algorithm>

#include "sim/core/units.hpp"
#include "sim/describe/scenario.hpp"

namespace tandem {

/// What the host does for each pass: scheduling, inputs, launches, what comes of its tokens.
struct HostTime {
  Picoseconds step{0};
  Picoseconds sequence{0};  ///< per sequence of the pass
  bool beside = false;      ///< done while the pass before it runs (asynchronous scheduling)
};

/// A constant of the layer; zero where it has none.
[[nodiscard]] Picoseconds software_time(const Software& software, const char* name);

/// step_overhead, rank_overhead of each of `ranks` chips but one, sequence_overhead and
/// host_beside_chips of the layer, on the hosts of the scenario's system.
[[nodiscard]] HostTime host_time(const Scenario& scenario, std::int64_t ranks);

/// The host of one replica.
class HostClock {
 public:
  explicit HostClock(const HostTime& time) : time_(time) {}

  /// When a pass of `sequences` that could begin at `now` begins. Work that goes on beside chips
  /// begins when the pass before it did, unless chips have been idle since.
  [[nodiscard]] Picoseconds begin(Picoseconds now, std::int64_t sequences) const {
    const Picoseconds work = time_.step + time_.sequence * sequences;
    const bool was_busy = time_.beside && now <= last_end_;
    return was_busy ? std::max(now, last_begin_ + work) : now + work;
  }
  /// The pass runs from `begin` to `end`.
  void ran(Picoseconds begin, Picoseconds end) {
    last_begin_ = begin;
    last_end_ = end;
  }

 private:
  HostTime time_;
  Picoseconds last_begin_{0};
  Picoseconds last_end_{-1};
};

}  // namespace tandem
