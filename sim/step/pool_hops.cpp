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
  const Picoseconds start = network_now_ + idle_gap;
  network_->send(start, source, target, size, nullptr);
  network_now_ = network_->pop_delivery().time;
  Hop result{network_now_ - start, {}};
  for (const std::string& link_class : ways_.between(*network_, source, target)) {
    result.link_bytes[link_class] += size.count();
  }
  return hops_.emplace(key, std::move(result)).first->second;
}

/// Every rank hands over the rows of its attention group.
Bytes PoolModel::hidden_bytes(const Batch& batch) const {
  const std::int64_t groups = gang_ == nullptr ? 1 : placement_.attention_data;
  return Bytes(ceil_div(batch.tokens(), groups) * hidden_ *
               bytes_of(chip_->hidden_type(placement_.precision)));
}

// Hidden states go to every chip of the next station. The chips of a head station get only the rows
// that are sampled from.
std::vector<PoolModel::HandOver> PoolModel::hand_overs(std::size_t from_station,
                                                       const Batch& batch) const {
  const Station& from = stations_[from_station];
  const Station& to = stations_[from_station + 1];
  const bool to_head = to.stages.front().layers == 0;
  const Bytes size =
      to_head
          ? Bytes(batch.sampled() * hidden_ * bytes_of(chip_->hidden_type(placement_.precision)))
          : hidden_bytes(batch);
  // A static program contains its sends and receives: the hop adds the flight of a vector only.
  const Bytes flight = chip_->schedules_links() ? Bytes(1) : size;
  std::vector<HandOver> all;
  for (std::size_t i = 0; i < to.stages.size(); ++i) {
    // The ranks of a gang hand over side by side, each to its like.
    all.push_back(
        {from.first_chip, to.first_chip_of(i), size, flight, to.stages[i].shard.of.ranks()});
  }
  return all;
}

std::vector<PoolModel::HandOver> PoolModel::returned_tokens(const Batch& batch) const {
  std::vector<HandOver> all;
  if (batch.sampled() == 0) return all;
  const Station& last = stations_.back();
  const Bytes size(batch.sampled() * bytes_per_candidate);
  for (std::size_t i = 0; i < last.stages.size(); ++i) {
    const std::int64_t chip = last.first_chip_of(i);
    if (chip != 0) all.push_back({chip, 0, size, size, 1});
  }
  return all;
}

/// The last pass of a batch hands over to the first station.
std::vector<PoolModel::HandOver> PoolModel::messages_behind(std::size_t station,
                                                            const Batch& batch) const {
  return station + 1 == stations_of(batch) ? returned_tokens(batch) : hand_overs(station, batch);
}

/// The slowest delivery counts.
PoolModel::Hop PoolModel::hop_behind(std::size_t station, const Batch& batch) {
  Hop result{};
  for (const HandOver& message : messages_behind(station, batch)) {
    result.time = std::max(result.time, hop(message.from, message.to, message.flight).time);
    for (const auto& [name, bytes] : hop(message.from, message.to, message.size).link_bytes) {
      result.link_bytes[name] += bytes * message.ranks;
    }
  }
  return result;
}

Picoseconds PoolModel::hop_floor_behind(std::size_t station, const Batch& batch) const {
  Picoseconds slowest{0};
  for (const HandOver& message : messages_behind(station, batch)) {
    const LinkWays::Way& way =
        ways_.between(*network_, address(0, message.from), address(0, message.to));
    slowest = std::max(slowest, ways_.floor(way, message.flight));
  }
  return slowest;
}

}  // namespace tandem
