// Hands what a request left on the chips of one functional pool to those of another.
#pragma once

#include <vector>

#include "sim/step/functional_pool.hpp"

namespace tandem {

/// Two pools that run the same network, whose layers may be cut into stages differently.
struct KvRoute {
  FunctionalPool* from = nullptr;
  FunctionalPool* to = nullptr;
};

/// Sends every stage of the receivers its layers' KV of request 0, in the format of `receiver`,
/// over `network` from `start` on. Adds the messages to the result's transfers, and what the first
/// route sent and received to its KV. Returns when all of it is there.
[[nodiscard]] Picoseconds hand_over_kv(const std::vector<KvRoute>& routes,
                                       const Precision& receiver, NetworkModel& network,
                                       Picoseconds start, GenerateResult& result);

}  // namespace tandem
