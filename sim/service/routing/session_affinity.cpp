#include "sim/service/routing/session_affinity.hpp"

#include "sim/core/hash.hpp"

namespace tandem {

std::size_t SessionAffinity::replica_of(std::int64_t session, std::size_t replicas) {
  std::size_t best = 0;
  std::uint64_t highest = 0;
  for (std::size_t i = 0; i < replicas; ++i) {
    const std::uint64_t weight = Hasher().add(session).add(i).value();
    if (i > 0 && weight <= highest) continue;
    best = i;
    highest = weight;
  }
  return best;
}

}  // namespace tandem
