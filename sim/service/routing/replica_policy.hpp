// Which replica of a pool takes a request. One class per policy.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "sim/describe/scenario.hpp"
#include "sim/service/replica.hpp"

namespace tandem {

/// Contract: placed() follows for every request of the pool, also for one that nobody chose a
/// replica for; left() comes once it is gone, and may come for requests that were never placed.
class ReplicaPolicy {
 public:
  using Replicas = std::vector<std::unique_ptr<Replica>>;
  using Candidates = std::span<const std::unique_ptr<Replica>>;
  virtual ~ReplicaPolicy() = default;
  /// Index of the replica; those of a pool that take requests are the first ones.
  [[nodiscard]] virtual std::size_t choose(const Request& request, Candidates replicas) = 0;
  virtual void placed(const Request&, std::size_t /*replica*/) {}
  /// Its prompt is computed.
  virtual void prompt_done(const Request&) {}
  virtual void left(const Request&) {}
};

/// What a pool computes of requests: prompts, and with one pool their tokens too; or tokens alone.
enum class PoolDuty : std::uint8_t { Prompts, Tokens };

/// The policy that `serving.router` names.
[[nodiscard]] std::unique_ptr<ReplicaPolicy> make_replica_policy(const Serving& serving,
                                                                 std::uint64_t seed, PoolDuty duty);

}  // namespace tandem
