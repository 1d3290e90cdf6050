// All devices of a memory burst by burst: address map, and a controller per pseudo-channel.
#pragma once

#include <cstdint>
#include <vector>

#include "models/hbm/controller.hpp"
#include "models/hbm/memory.hpp"

namespace tandem {

/// Where one burst lies.
struct BurstPlace {
  std::int64_t channel = 0;  ///< pseudo-channel over all devices
  std::int64_t bank = 0;
  std::int64_t row = 0;
};

/// Contract: requests come in the order of their arrival; each is served to its end before the next
/// is looked at, so FR-FCFS reorders the bursts of one request only. Blocks of 256 bytes go to the
/// channels in turn, in an order that changes with every round (a hash, so that no power of two
/// stride stays on one channel); banks are permuted by the row.
class BurstMemory {
 public:
  explicit BurstMemory(const HbmConfig& config);
  [[nodiscard]] BurstPlace place_of(std::uint64_t address) const;
  /// When the last beat of `bytes` from `address` has crossed the bus. Throws ModelError on nothing
  /// to move.
  Picoseconds serve(Picoseconds arrival, std::uint64_t address, Bytes bytes, bool is_write);
  [[nodiscard]] const DramTiming& timing() const { return timing_; }
  [[nodiscard]] std::int64_t channels() const {
    return static_cast<std::int64_t>(controllers_.size());
  }

 private:
  DramTiming timing_;
  std::vector<ChannelController> controllers_;
};

}  // namespace tandem
