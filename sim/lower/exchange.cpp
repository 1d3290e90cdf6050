#include "sim/lower/exchange.hpp"

namespace tandem {

std::vector<std::int64_t> peers_of(RankGroup group, const Shard& shard) {
  const Sharding& of = shard.of;
  if (group == RankGroup::Elsewhere) return {shard.rank};
  std::vector<std::int64_t> peers;
  for (std::int64_t rank = 0; rank < of.ranks(); ++rank) {
    const Shard other{of, rank};
    const bool in_group = other.group() == shard.group();
    const bool same_tensor = rank % of.tensor == shard.rank % of.tensor;
    if (group == RankGroup::Gang || (in_group && (group == RankGroup::Attention || same_tensor))) {
      peers.push_back(rank);
    }
  }
  return peers;
}

}  // namespace tandem
