// Routing by what is cached where, as NVIDIA Dynamo's KV router (docs/components/router,
// lib/kv-router/src/scheduling/selector/default.rs).
#pragma once

#include <map>

#include "sim/core/random.hpp"
#include "sim/service/routing/replica_policy.hpp"

namespace tandem {

/// Blocks of prompts that requests of a replica hold; those that they share count once.
class ActiveBlocks {
 public:
  explicit ActiveBlocks(std::int64_t block_tokens) : block_tokens_(block_tokens) {}
  /// How many there would be with this request.
  [[nodiscard]] std::int64_t with(const Request& request) const;
  void add(const Request& request);
  void remove(const Request& request);
  [[nodiscard]] std::int64_t count() const { return count_; }

 private:
  template <class Visit>
  [[nodiscard]] std::int64_t visit_parts(const Request& request, const Visit& visit) const;

  std::int64_t block_tokens_;
  std::int64_t count_ = 0;
  /// By key of a part: how many requests hold how many blocks of it.
  std::map<std::int64_t, std::map<std::int64_t, std::int64_t>> parts_;
};

/// Contract: the replica of least
///   cost = overlap_weight x (tokens that wait to be computed + those of this prompt that are not
///          cached) / block + prompt blocks that its requests hold, this one's included;
/// of equal ones a random one. Tokens of a prompt wait until its first token is out, all of them,
/// and answers do not count. At a temperature t > 0 a replica is drawn with probability
/// proportional to exp(-(cost - min) / ((max - min) t)). A pool that computes no prompts has only
/// the second summand. Draws come from the stream "router, prompts" or "router, tokens".
class KvOverlap final : public ReplicaPolicy {
 public:
  KvOverlap(const Serving& serving, std::uint64_t seed, PoolDuty duty);
  [[nodiscard]] std::size_t choose(const Request& request, Candidates replicas) override;
  void placed(const Request& request, std::size_t replica) override;
  void prompt_done(const Request& request) override;
  void left(const Request& request) override;

 private:
  struct Worker {
    double tokens_to_compute = 0;
    ActiveBlocks blocks;
  };
  struct Placed {
    std::size_t replica = 0;
    double tokens_to_compute = 0;
    Request as_it_came;  ///< its parts may grow
  };
  [[nodiscard]] double cost(const Request& request, double cached, const Worker& worker) const;
  [[nodiscard]] std::size_t draw(const std::vector<double>& costs);
  Worker& worker(std::size_t replica);

  std::int64_t block_tokens_;
  double overlap_weight_;
  double temperature_;
  RandomStream random_;
  std::vector<Worker> workers_;
  std::vector<double> cached_;  ///< of the request chosen last, by replica
  std::map<std::int64_t, Placed> placed_;
};

}  // namespace tandem
