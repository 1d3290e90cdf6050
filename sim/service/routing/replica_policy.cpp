#include "sim/service/routing/replica_policy.hpp"

#include "sim/service/routing/kv_overlap.hpp"
#include "sim/service/routing/least_loaded.hpp"
#include "sim/service/routing/round_robin.hpp"
#include "sim/service/routing/session_affinity.hpp"

namespace tandem {

std::unique_ptr<ReplicaPolicy> make_replica_policy(const Serving& serving, std::uint64_t seed,
                                                   PoolDuty duty) {
  if (serving.router == "round_robin") return std::make_unique<RoundRobin>();
  if (serving.router == "kv_overlap") return std::make_unique<KvOverlap>(serving, seed, duty);
  if (serving.router == "session_affinity") return std::make_unique<SessionAffinity>();
  return std::make_unique<LeastLoaded>();
}

}  // namespace tandem
