// How messages are made and received by the communication library, by frameworks' own kernels and
// by expert-parallel kernels.
#pragma once

#include <vector>

#include "models/link/collectives/executor.hpp"

namespace tandem::link {

/// The library's for rings and trees: elements with a flag each (LL), lines of 128 B with a flag
/// (LL128), slices behind a fence (Simple).
[[nodiscard]] std::vector<Protocol> library_protocols(const Fabric& fabric);

/// The library's for a message between two of `ranks` peers that all send to each other: LL for
/// small ones, else Simple, with as many blocks as it gives them.
[[nodiscard]] Protocol peer_protocol(const Fabric& fabric, Bytes message, std::int64_t ranks);

/// The library's in-switch reduction; `filled` bytes of its buffer are copied in before it starts
/// and out when it has ended.
[[nodiscard]] Protocol in_switch_protocol(const Fabric& fabric, Bytes filled);
/// The library's buffer for it: what may be under way.
[[nodiscard]] Bytes in_switch_buffer(std::int64_t ranks);

/// Kernels of the framework.
[[nodiscard]] Protocol one_shot_protocol(const Fabric& fabric);
[[nodiscard]] Protocol two_shot_protocol(const Fabric& fabric);
/// Largest message for which a framework keeps buffers of its own; above it the library is called.
[[nodiscard]] Bytes graph_workspace(std::int64_t ranks);

/// Dispatch and combine.
[[nodiscard]] Protocol expert_protocol(const Fabric& fabric, const Collective& collective);
[[nodiscard]] std::int64_t expert_sms(const Fabric& fabric, const Collective& collective);

}  // namespace tandem::link
