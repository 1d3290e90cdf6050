// L2 as a table of the tiles of one kernel with least-recently-used replacement. Bandwidth and
// latency are the machine's business.
#pragma once

#include <cstdint>
#include <vector>

#include "sim/core/units.hpp"

namespace tandem::gpu {

/// Shares (0 to 1) of a kernel's operands that lie in L2 when it starts, and of its output that may
/// stay there.
struct Residency {
  double weights = 0;
  double activations = 0;
  double kv = 0;
  double output = 0;
  bool operator==(const Residency&) const = default;
};

/// Tiles by dense number. A tile may grow: a request for more bytes than are present misses by the
/// difference.
class L2Cache {
 public:
  L2Cache(Bytes capacity, std::int64_t tiles);
  struct Look {
    Bytes missing;      ///< bytes to fetch from HBM
    Picoseconds ready;  ///< when the present part is (or will be) there
  };
  /// Looks a tile up and makes it the most recent. At first touch the share `resident` of it is
  /// present.
  Look find(std::int64_t tile, Bytes bytes, double resident);
  /// Records that `bytes` of the tile are there from `ready` on, evicting the least recent ones.
  /// `dirty` bytes have no copy in HBM.
  void insert(std::int64_t tile, Bytes bytes, Picoseconds ready, bool dirty = false);
  /// Dirty bytes that had to leave since the last call.
  [[nodiscard]] Bytes take_written_back();
  [[nodiscard]] Bytes used() const { return used_; }

 private:
  struct Entry {
    std::int64_t bytes = 0;
    Picoseconds ready{0};
    std::int32_t newer = -1;
    std::int32_t older = -1;
    bool was_touched = false;
    bool is_listed = false;
    bool is_dirty = false;
  };
  void unlink(std::int32_t tile);
  void link_newest(std::int32_t tile);
  Entry& at(std::int32_t tile) { return entries_[static_cast<std::size_t>(tile)]; }

  Bytes capacity_;
  Bytes used_{0};
  Bytes written_back_{0};
  std::int32_t newest_ = -1;
  std::int32_t oldest_ = -1;
  std::vector<Entry> entries_;
};

}  // namespace tandem::gpu
