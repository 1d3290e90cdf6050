// All requests of a session to one replica.
#pragma once

#include "sim/service/routing/least_loaded.hpp"

namespace tandem {

/// Rendezvous hashing (Thaler and Ravishankar, IEEE/ACM ToN 6:1, 1998): the replica whose hash with
/// the session is highest, so one more replica takes sessions from all others and moves nothing
/// else. Requests of no session go to the least loaded one.
class SessionAffinity final : public ReplicaPolicy {
 public:
  [[nodiscard]] std::size_t choose(const Request& request, Candidates replicas) override {
    return request.session < 0 ? others_.choose(request, replicas)
                               : replica_of(request.session, replicas.size());
  }
  [[nodiscard]] static std::size_t replica_of(std::int64_t session, std::size_t replicas);

 private:
  LeastLoaded others_;
};

}  // namespace tandem
