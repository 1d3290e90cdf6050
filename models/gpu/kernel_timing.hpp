// What one simulated kernel did.
#pragma once

#include <array>
#include <cstdint>

#include "models/gpu/activity.hpp"

namespace tandem::gpu {

/// Busy times are averages over the units of a kind.
struct KernelTiming {
  Picoseconds time;  ///< launch included
  Bytes hbm_read, hbm_written;
  Bytes l2_bytes;
  Picoseconds tensor_busy, vector_busy, special_busy, port_busy, l2_busy, hbm_busy;
  Picoseconds skipped;  ///< part of `time` that equals simulated rounds and was not simulated
  SwitchingCounts switched;
  std::int64_t events = 0;
  [[nodiscard]] const char* bound() const;
};

/// All members of a timing in a fixed order.
using TimingNumbers = std::array<std::int64_t, 24>;
[[nodiscard]] TimingNumbers numbers_of(const KernelTiming& timing);
[[nodiscard]] KernelTiming timing_of(const TimingNumbers& numbers);

}  // namespace tandem::gpu
