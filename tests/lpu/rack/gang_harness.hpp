// What the ranks of a gang hold.
#pragma once

#include <vector>

#include "models/lpu/compiler/rank_share.hpp"

namespace tandem::test {

/// The share of every rank of a gang, as GangReference takes them.
inline std::vector<Weights> rank_shares(const Weights& weights, int ranks) {
  std::vector<Weights> shares;
  for (int rank = 0; rank < ranks; ++rank) {
    shares.push_back(lpu::rank_weights(weights, ranks, rank));
  }
  return shares;
}

}  // namespace tandem::test
