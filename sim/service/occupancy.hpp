// What replicas hold over time: requests that wait, requests that run, and KV.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sim/core/units.hpp"

namespace tandem {

class TimelineRecorder;

/// What a replica, or all of a pool together, hold at a moment.
struct Occupancy {
  std::int64_t waiting = 0;  ///< requests that have not begun, and those that begin again
  std::int64_t running = 0;  ///< requests that have a place
  std::int64_t kv = 0;       ///< blocks, or slots on static schedules, that requests hold
  bool operator==(const Occupancy&) const = default;
};

struct OccupancyChange {
  Picoseconds at;
  Occupancy now;  ///< from then on
};

/// The occupancy of one replica, change by change.
class OccupancyLog {
 public:
  /// Times may not fall; of several values at one time the last one counts.
  void note(Picoseconds at, const Occupancy& now);
  [[nodiscard]] const std::vector<OccupancyChange>& changes() const { return changes_; }

 private:
  std::vector<OccupancyChange> changes_;
};

/// The sum of several replicas; each begins empty.
[[nodiscard]] std::vector<OccupancyChange> sum_of(const std::vector<const OccupancyLog*>& logs);

/// Occupancy over equal parts of a time: the mean of each over time, and its highest value.
struct OccupancyBins {
  std::vector<double> waiting, running, kv;
  std::vector<std::int64_t> waiting_peak, running_peak, kv_peak;
};

/// Parts [start + i w, start + (i + 1) w) of [start, end), as many as `bins`.
[[nodiscard]] OccupancyBins in_bins(const std::vector<OccupancyChange>& changes, Picoseconds start,
                                    Picoseconds end, std::size_t bins);

/// Counter tracks "waiting", "running" and "kv" of a group of the timeline.
void record_occupancy(const std::vector<OccupancyChange>& changes, const std::string& group,
                      TimelineRecorder& timeline);

/// Tokens that left pools at one time.
struct TokenBurst {
  Picoseconds at;
  std::int32_t tokens = 0;
  std::int32_t gaps = 0;  ///< those of them that are not a request's first
};

/// Tokens that left in each of so many equal parts of [start, end]; the last part has its end.
[[nodiscard]] std::vector<std::int64_t> in_bins(const std::vector<TokenBurst>& bursts,
                                                Picoseconds start, Picoseconds end,
                                                std::size_t bins);

}  // namespace tandem
