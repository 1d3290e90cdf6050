// The replica with the fewest requests, of equal ones the first.
#pragma once

#include <algorithm>

#include "sim/service/routing/replica_policy.hpp"

namespace tandem {

class LeastLoaded final : public ReplicaPolicy {
 public:
  [[nodiscard]] std::size_t choose(const Request&, Candidates replicas) override {
    const auto least =
        std::min_element(replicas.begin(), replicas.end(),
                         [](const auto& a, const auto& b) { return a->load() < b->load(); });
    return static_cast<std::size_t>(least - replicas.begin());
  }
};

}  // namespace tandem
