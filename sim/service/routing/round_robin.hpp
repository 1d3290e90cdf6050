// Every replica in its turn.
#pragma once

#include "sim/service/routing/replica_policy.hpp"

namespace tandem {

class RoundRobin final : public ReplicaPolicy {
 public:
  [[nodiscard]] std::size_t choose(const Request&, Candidates replicas) override {
    return next_++ % replicas.size();
  }

 private:
  std::size_t next_ = 0;
};

}  // namespace tandem
