// Which plans a gang allows, what they take, and the three-hop all-reduce over nodes in a ring.
#include <fmt/format.h>

#include <algorithm>

#include "models/lpu/collective/collective.hpp"
#include "models/lpu/compiler/pieces.hpp"
#include "sim/core/diagnostics.hpp"

namespace tandem::lpu {
namespace {

int unit_of(const Gang& gang, const Topology& topology) {
  return std::min(gang.size(), topology.chips_below(1));
}

bool is_complete_unit(const Gang& gang, const Topology& topology) {
  const int unit = unit_of(gang, topology);
  return unit > 1 && gang.size() % unit == 0 &&
         static_cast<int>(gang.lanes_of(0).size()) == unit - 1;
}

// Whether the lanes between units shift the index within the unit by `shift`.
bool units_meet(const Gang& gang, int unit, int shift) {
  const std::vector<Lane> lanes = gang.lanes_of(1);
  return !lanes.empty() && std::all_of(lanes.begin(), lanes.end(), [&](const Lane& lane) {
    for (int rank = 0; rank < gang.size(); ++rank) {
      const int to = lane.to[static_cast<std::size_t>(rank)];
      if (to % unit != (rank % unit + shift) % unit) return false;
    }
    return true;
  });
}

// Lanes of a ring that lead to another unit without going round it.
std::vector<Lane> ring_lanes(const Gang& gang, int units) {
  std::vector<Lane> lanes = gang.lanes_of(1);
  if (static_cast<int>(lanes.size()) > units - 1) lanes.resize(static_cast<std::size_t>(units - 1));
  return lanes;
}

}  // namespace

bool allows(const Gang& gang, const Topology& topology, ReducePlan plan) {
  if (!is_complete_unit(gang, topology)) return false;
  const int unit = unit_of(gang, topology);
  const int units = gang.size() / unit;
  if (plan == ReducePlan::Direct || plan == ReducePlan::TwoPhase) return units == 1;
  if (units == 1) return false;
  const int lanes = static_cast<int>(gang.lanes_of(1).size());
  if (plan == ReducePlan::Hierarchical) return lanes == units - 1 && units_meet(gang, unit, 0);
  return unit % 2 == 0 && 2 * lanes >= units - 1 && units_meet(gang, unit, unit / 2);
}

int shard_vectors(const Gang& gang, const Topology& topology, ReducePlan plan, int vectors) {
  const int unit = unit_of(gang, topology);
  if (plan == ReducePlan::Direct) return vectors;
  return pieces_of(vectors, plan == ReducePlan::RingParts ? unit / 2 : unit);
}

int input_vectors(const Gang& gang, const Topology& topology, ReducePlan plan, int vectors) {
  const int unit = unit_of(gang, topology);
  const int shard = shard_vectors(gang, topology, plan, vectors);
  if (plan == ReducePlan::Direct) return vectors;
  return shard * (plan == ReducePlan::RingParts ? unit / 2 : unit);
}

int inbox_vectors(const Gang& gang, const Topology& topology, ReducePlan plan, int vectors) {
  const int unit = unit_of(gang, topology);
  const int units = gang.size() / unit;
  const int shard = shard_vectors(gang, topology, plan, vectors);
  switch (plan) {
    case ReducePlan::Direct:
    case ReducePlan::TwoPhase:
      return unit * shard;
    case ReducePlan::Hierarchical:
      return (unit + units) * shard;
    case ReducePlan::RingParts: {
      const int lanes = static_cast<int>(ring_lanes(gang, units).size());
      return (2 * unit + 2 + lanes) * shard;
    }
  }
  return 0;
}

void Collective::require(ReducePlan plan) const {
  if (allows(gang_, topology_, plan)) return;
  throw ModelError(fmt::format("lpu.collective: links among {} chips do not allow plan {}",
                               gang_.size(), static_cast<int>(plan)));
}

// Inbox: contributions by chip of the node, the node's sum, a slot per global lane, zeros, partial
// sums by chip of the node. Chip c works on part c modulo half a node; the first half of a node's
// chips adds the nodes ahead and the node itself, the second half the nodes behind.
std::int64_t Collective::ring_parts(const CollectiveBlocks& blocks, int vectors,
                                    std::int64_t ready) {
  const int unit = unit_chips();
  const int parts = unit / 2;
  const int units = gang_.size() / unit;
  const int shard = shard_vectors(gang_, topology_, ReducePlan::RingParts, vectors);
  const std::vector<Lane> lanes = ring_lanes(gang_, units);
  const int ahead = static_cast<int>(lanes.size());
  const int behind = units - 1 - ahead;
  const auto block = [&](int first) {
    VectorBlock moved = blocks.inbox;
    for (Place& place : moved.first) place.row += first * shard;
    return moved;
  };
  const VectorBlock node_sum = block(unit), slots = block(unit + 1),
                    partial = block(unit + 2 + ahead);
  const int zeros = 1 + ahead;  // shards behind the node's sum
  const int own = reg([&](int rank) { return rank % unit * shard; });
  const std::vector<std::int64_t> summed = scatter(blocks, shard, parts, node_sum, 0, ready);
  std::int64_t done = ready;
  std::vector<std::int64_t> partial_done;
  for (int v = 0; v < shard; ++v) {
    std::int64_t all = summed[static_cast<std::size_t>(v)];
    std::vector<Rows> terms;
    terms.push_back(
        node_sum.at(v, reg([&](int rank) { return rank % unit < parts ? 0 : zeros * shard; })));
    for (int p = 0; p < ahead; ++p) {
      const Lane& lane = lanes[static_cast<std::size_t>(p)];
      all = std::max(all, move(lane, node_sum.at(v), slots.at(p * shard + v),
                               summed[static_cast<std::size_t>(v)]));
      const int from = (zeros - 1 - p) * shard;  // the zeros, seen from this slot
      terms.push_back(slots.at(p * shard + v, reg([&](int rank) {
                                 return rank % unit < parts || p < behind ? 0 : from;
                               })));
    }
    partial_done.push_back(sum(terms, partial.at(v, own), all));
  }
  std::vector<std::int64_t> arrived = partial_done;
  for (int v = 0; v < shard; ++v) {
    for (const Lane& lane : gang_.lanes_of(0)) {
      const int in = reg([&](int rank) { return lane.from[index_of(rank)] % unit * shard; });
      std::int64_t& all = arrived[static_cast<std::size_t>(v)];
      all = std::max(all, move(lane, partial.at(v, own), partial.at(v, in),
                               partial_done[static_cast<std::size_t>(v)]));
    }
  }
  for (int part = 0; part < parts; ++part) {
    for (int v = 0; v < shard; ++v) {
      done = std::max(
          done, sum({partial.at(part * shard + v), partial.at((part + parts) * shard + v)},
                    blocks.output.at(part * shard + v), arrived[static_cast<std::size_t>(v)]));
    }
  }
  return done;
}

}  // namespace tandem::lpu
