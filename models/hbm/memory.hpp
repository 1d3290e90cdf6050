// All HBM stacks of a chip as row trains: each channel group (a stack) serves requests first come
// first served, at the closed-form cost of the row trains they consist of. Checked against the
// burst-accurate channel in channel_reference.hpp.
#pragma once

#include <cstdint>
#include <vector>

#include "models/hbm/timing.hpp"

namespace tandem {

struct HbmConfig {
  DramKind kind = DramKind::Hbm3;
  std::int64_t stacks = 0;
  BytesPerSecond bandwidth;  ///< peak of all stacks
  Picoseconds refresh_time;  ///< tRFCab
  bool model_refresh = true;
  double stream_efficiency = 1;  ///< share left by bank conflicts among many concurrent streams
};

/// Kind of one request. `run` is how many contiguous bytes it has per DRAM row.
struct HbmRequest {
  std::uint64_t address = 0;
  Bytes bytes;
  bool is_write = false;
  Bytes run{1024};
};

/// Contract: requests come in the order of their arrival times; the answer is the time at which the
/// last byte has crossed the bus (device latency is the caller's). Work conserving: a group idles
/// only when nothing waits, so total time is never below bytes / peak bandwidth.
class HbmMemory {
 public:
  /// Throws ModelError without stacks, and when refresh leaves half of the bandwidth or less.
  explicit HbmMemory(const HbmConfig& config);
  Picoseconds serve(Picoseconds arrival, const HbmRequest& request);
  /// Forgets all traffic.
  void reset();
  [[nodiscard]] const DramTiming& timing() const { return timing_; }
  /// Share of peak that a long stream of reads gets.
  [[nodiscard]] double streaming_efficiency() const { return efficiency_; }
  [[nodiscard]] Bytes bytes_read() const { return read_; }
  [[nodiscard]] Bytes bytes_written() const { return written_; }
  /// Time during which a group was serving, averaged over the groups.
  [[nodiscard]] Picoseconds busy() const;
  /// When everything accepted so far is done.
  [[nodiscard]] Picoseconds drained() const;

 private:
  struct Group {
    Picoseconds free{0};
    Picoseconds busy{0};
    Bytes unbatched_writes{0};
    bool has_read_since_write = false;
  };
  Picoseconds serve_group(Group& group, Picoseconds arrival, Bytes bytes,
                          const HbmRequest& request);

  DramTiming timing_;
  double efficiency_ = 1;
  double group_rate_ = 0;  ///< bytes per picosecond of a group, refresh included
  Bytes write_batch_{0};   ///< writes a group collects before it turns its bus around
  std::vector<Group> groups_;
  Bytes read_{0};
  Bytes written_{0};
};

}  // namespace tandem
