// Which algorithms and protocols a collective may run by, as libraries and frameworks do.
#pragma once

#include <vector>

#include "models/link/collectives/executor.hpp"

namespace tandem::link {

/// A schedule with the protocol that moves it.
struct Candidate {
  Schedule schedule;
  Protocol protocol;
  std::int64_t sms = 0;  ///< that each rank gives to it
  Bytes width{1};        ///< of an element of the schedule
};

/// All that may run `collective` on the fabric; the cheapest is taken. Throws ModelError for what
/// cannot run.
[[nodiscard]] std::vector<Candidate> candidates_of(const Fabric& fabric,
                                                   const Collective& collective);

/// Names of the algorithms in candidates_of(), without their schedules.
[[nodiscard]] std::vector<const char*> algorithms_of(const Fabric& fabric,
                                                     const Collective& collective);

/// Rows that one rank sends each rank in a dispatch or combine, itself included, as the routing
/// lets expect: by expert where rows go straight (low latency), by rank where a rank gets a row
/// once (bulk).
[[nodiscard]] double rows_per_peer(const Collective& collective, std::int64_t ranks);

/// Rows that one rank has for one of several nodes in bulk: each once.
[[nodiscard]] double rows_per_node(const Collective& collective, std::int64_t ranks,
                                   std::int64_t nodes);

/// Whether a dispatch or combine goes by way of one rank per node.
[[nodiscard]] bool goes_by_node(const Fabric& fabric, const Collective& collective);

/// Bytes that a row of a dispatch or combine has on the wire.
[[nodiscard]] Bytes bytes_per_row(const Collective& collective);
[[nodiscard]] Bytes bytes_of_rows(const Collective& collective, double rows);

/// Lower bound of the time of `algorithm` from closed forms: the bytes that one rank must send at
/// the full rate of its links, and the latencies of the longest chain of messages.
[[nodiscard]] Picoseconds floor_of(const Fabric& fabric, const Collective& collective,
                                   const std::string& algorithm);

}  // namespace tandem::link
