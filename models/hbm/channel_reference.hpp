// Burst-accurate model of one pseudo-channel, command by command. Slow; the yardstick for the row
// trains of memory.hpp. Reads only.
#pragma once

#include <cstdint>

#include "models/hbm/timing.hpp"

namespace tandem {

/// A read stream over one pseudo-channel: `bytes` in trains of `run` contiguous bytes per row, the
/// trains rotating over banks with neighbouring bursts in different bank groups.
struct ReadStream {
  Bytes bytes;
  Bytes run{1024};
  std::int64_t window = 64;  ///< requests the FR-FCFS scheduler looks at
};

/// Time from the first command to the last data beat. ACT, RD, PRE and all-bank REF obey tRCD, tRP,
/// tRAS, tRC, tRTP, tCCD_S/L, tRRD_S, tFAW, tRFC, tREFI; row and column commands use separate
/// buses.
[[nodiscard]] Picoseconds simulate_channel(const HbmTiming& timing, const ReadStream& stream,
                                           bool refresh);

}  // namespace tandem
