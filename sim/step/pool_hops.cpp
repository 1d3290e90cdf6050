// Hidden states and sampled tokens between the stations of a pool's pipeline.
#include <algorithm>

#include "sim/core/integers.hpp"
#include "sim/step/pool_model.hpp"

namespace tandem {
namespace {

// A chip of the head's vocabulary split answers with its best token and that token's logit.
constexpr std::int64_t bytes_per_candidate = 8;
// Hops are timed on an idle network: each message goes long after the one before it has arrived.
constexpr Picoseconds idle_gap{1000000000};

}  // namespace

const PoolModel::Hop& PoolModel::hop(std::int64_t from, std::int64_t to, Bytes size) {
  const auto key = std::make_tuple(from, to, size.count());
  const auto found = hops_.find(key);
  if (found != hops_.end()) return found->second;
  const ChipAddress source = address(0, from);
  const ChipAddress target = address(0, to);
  const std::map<std::string, LinkUse> before = network_->usage();
  const Picoseconds start = network_now_ + idle_gap;
  network_->send(start, source, target, size, nullptr);
  const Picoseconds end = network_->pop_delivery().time;
  network_now_ = end;
  Hop result{end - start, network_->floor(source, target, size), {}};
  for (const auto& [name, use] : network_->usage()) {
    const auto old = before.find(name);
    const Bytes moved = use.bytes - (old == before.end() ? Bytes(0) : old->second.bytes);
    if (moved.count() > 0) result.link_bytes[name] = moved.count();
  }
  return hops_.emplace(key, std::move(result)).first->second;
}

/// Every rank hands over the rows of its attention group.
Bytes PoolModel::hidden_bytes(const Batch& batch) const {
  const std::int64_t groups = gang_ == nullptr ? 1 : placement_.attention_data;
  return Bytes(ceil_div(batch.tokens(), groups) * hidden_ *
               bytes_of(chip_->hidden_type(placement_.precision)));
}

// Hidden states go to every chip of the next station; the slowest delivery counts. The chips of a
// head station get only the rows that are sampled from.
PoolModel::Hop PoolModel::hand_over(std::size_t from_station, const Batch& batch) {
  const Station& from = stations_[from_station];
  const Station& to = stations_[from_station + 1];
  const bool to_head = to.stages.front().layers == 0;
  const Bytes size =
      to_head
          ? Bytes(batch.sampled() * hidden_ * bytes_of(chip_->hidden_type(placement_.precision)))
          : hidden_bytes(batch);
  Hop result{};
  for (std::size_t i = 0; i < to.stages.size(); ++i) {
    const std::int64_t target = to.first_chip_of(i);
    const Hop& one = hop(from.first_chip, target, size);
    // A static program contains its sends and receives: the hop adds the flight of a vector only.
    const Hop& flight = chip_->schedules_links() ? hop(from.first_chip, target, Bytes(1)) : one;
    result.time = std::max(result.time, flight.time);
    result.floor = std::max(result.floor, flight.floor);
    // The ranks of a gang hand over side by side, each to its like.
    const std::int64_t ranks = to.stages[i].shard.of.ranks();
    for (const auto& [name, bytes] : one.link_bytes) result.link_bytes[name] += bytes * ranks;
  }
  return result;
}

PoolModel::Hop PoolModel::return_tokens(const Batch& batch) {
  Hop result{};
  if (batch.sampled() == 0) return result;
  const Station& last = stations_.back();
  const Bytes size(batch.sampled() * bytes_per_candidate);
  for (std::size_t i = 0; i < last.stages.size(); ++i) {
    const std::int64_t chip = last.first_chip_of(i);
    if (chip == 0) continue;
    const Hop& one = hop(chip, 0, size);
    result.time = std::max(result.time, one.time);
    result.floor = std::max(result.floor, one.floor);
    for (const auto& [name, bytes] : one.link_bytes) result.link_bytes[name] += bytes;
  }
  return result;
}

}  // namespace tandem
