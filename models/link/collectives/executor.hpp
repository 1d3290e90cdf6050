// Times a schedule: its messages share the links of a network, its copies the blocks of the ranks.
#pragma once

#include <map>
#include <string>

#include "models/link/collectives/fabric.hpp"
#include "models/link/collectives/schedule.hpp"

namespace tandem::link {

/// How a schedule's messages are made and received.
struct Protocol {
  std::string name;   ///< "ll", "ll128", "simple", "graph"
  Picoseconds start;  ///< from the moment all have come until the first may be sent
  /// Time of a hand-over from writer to reader over that of a bare flag, the way's latency; the
  /// first latency is the wire's own.
  std::int64_t handover_numerator = 1, handover_denominator = 1;
  /// Bytes on the wire for bytes of payload: flags among the elements.
  std::int64_t wire_numerator = 1, wire_denominator = 1;
  BytesPerSecond copy_rate;       ///< of a rank's blocks together
  BytesPerSecond peer_rate;       ///< above 0: every peer has blocks of its own, with this rate
  bool uses_switch_rate = false;  ///< links at the rate of in-switch reduction
};

/// What came of it.
struct Execution {
  Picoseconds time;
  Picoseconds blocks;                              ///< busiest rank's blocks copied for so long
  std::map<std::string, std::int64_t> link_bytes;  ///< payload times links crossed, by class
  Bytes memory;                                    ///< most that a rank read and wrote
};

/// Runs `schedule` of elements of `width` bytes.
[[nodiscard]] Execution execute(const Fabric& fabric, const Schedule& schedule,
                                const Protocol& protocol, Bytes width);

}  // namespace tandem::link
