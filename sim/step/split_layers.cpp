#include "sim/step/split_layers.hpp"

#include <algorithm>

#include "sim/core/integers.hpp"

namespace tandem {
namespace {

// Crossings are timed on an idle network: each goes long after the one before has arrived.
constexpr Picoseconds crossing_gap{1000000000};

}  // namespace

SplitLayers::SplitLayers(const Scenario& scenario, const Catalogue& catalogue,
                         const NetworkFactory& networks, StageStore& store)
    : pool_(scenario, catalogue, store),
      hidden_(scenario.model.hidden),
      hidden_type_(scenario.placement.decode.precision.activations),
      network_(networks(scenario.system)),
      links_(scenario.system),
      ways_(std::make_shared<std::map<Key, std::map<LinkWays::Way, Bytes>>>()) {}

SplitLayers::SplitLayers(const Scenario& scenario, const SplitLayers& like,
                         const Catalogue& catalogue, const NetworkFactory& networks,
                         StageStore& store)
    : pool_(scenario, like.pool_, catalogue, store),
      hidden_(like.hidden_),
      hidden_type_(like.hidden_type_),
      network_(networks(scenario.system)),
      links_(scenario.system, like.links_),
      ways_(like.ways_) {}

SplitLayers::Key SplitLayers::key_of(const Rows& rows) {
  return {rows.tokens, rows.mixers.front(), rows.mixers.size(), rows.there};
}

/// Calls `each` with sender, receiver and size of every message; ranks without rows send nothing.
template <typename Each>
void SplitLayers::each_message(const Rows& rows, Each each) const {
  const std::vector<ChipAddress> gang = pool_.bridge_chips();
  const auto ranks = static_cast<std::int64_t>(rows.mixers.size());
  const auto parts = static_cast<std::int64_t>(gang.size());
  for (std::int64_t rank = 0; rank < ranks; ++rank) {
    const std::int64_t own = share_of(rows.tokens, ranks, rank).size();
    if (own == 0) break;  // earlier ranks have the longer shares
    for (std::int64_t part = 0; part < parts; ++part) {
      const std::int64_t width = share_of(hidden_, parts, part).size();
      const ChipAddress& mixer = rows.mixers[index_of(rank)];
      const ChipAddress& chip = gang[index_of(part)];
      const Bytes size(own * width * bytes_of(hidden_type_));
      rows.there ? each(mixer, chip, size) : each(chip, mixer, size);
    }
  }
}

const SplitLayers::Crossing& SplitLayers::cross(const Rows& rows) {
  const Key key = key_of(rows);
  const auto found = crossings_.find(key);
  if (found != crossings_.end()) return found->second;
  return crossings_.emplace(key, send_across(rows)).first->second;
}

SplitLayers::Crossing SplitLayers::send_across(const Rows& rows) {
  const std::map<std::string, LinkUse> before = network_->usage();
  const Picoseconds start = now_ + crossing_gap;
  std::size_t messages = 0;
  each_message(rows, [&](const ChipAddress& from, const ChipAddress& to, Bytes size) {
    network_->send(start, from, to, size, nullptr);
    ++messages;
  });
  for (; messages > 0; --messages) now_ = network_->pop_delivery().time;
  Crossing crossing{now_ - start, {}};
  for (const auto& [name, use] : network_->usage()) {
    const auto old = before.find(name);
    const Bytes moved = use.bytes - (old == before.end() ? Bytes(0) : old->second.bytes);
    if (moved.count() > 0) crossing.link_bytes[name] = moved.count();
  }
  return crossing;
}

const std::map<LinkWays::Way, Bytes>& SplitLayers::ways_of(const Rows& rows) {
  const auto [known, is_new] = ways_->try_emplace(key_of(rows));
  if (is_new) {
    each_message(rows, [&](const ChipAddress& from, const ChipAddress& to, Bytes size) {
      Bytes& largest = known->second[links_.between(*network_, from, to)];
      largest = std::max(largest, size);
    });
  }
  return known->second;
}

/// The slowest message of the crossing, were it alone.
Picoseconds SplitLayers::crossing_floor(const Rows& rows) {
  Picoseconds slowest{0};
  for (const auto& [way, size] : ways_of(rows)) {
    slowest = std::max(slowest, links_.floor(way, size));
  }
  return slowest;
}

namespace {

/// Adds what one micro-batch made the chips of a feed-forward block do.
void add_block(const StageResult& block, RemoteShare& remote) {
  for (const auto& [name, count] : block.activity) remote.activity[name] += count;
  remote.matrix += block.matrix;
  remote.memory += block.memory;
  remote.kernels += block.kernels;
}

}  // namespace

SplitRound SplitLayers::round(const std::vector<MixerWork>& parts,
                              const std::vector<ChipAddress>& mixers, PassTrace* trace) {
  SplitRound round;
  std::vector<MicroBatchWay> ways;
  for (const MixerWork& part : parts) {
    const Crossing& there = cross({part.tokens, mixers, true});
    const Crossing& back = cross({part.tokens, mixers, false});
    MicroBatchWay& way = ways.emplace_back(MicroBatchWay{part.legs, {}});
    for (std::int64_t layer = 0; layer < pool_.layers(); ++layer) {
      const StageResult& block = pool_.run(layer, part.tokens);
      way.visits.push_back({index_of(pool_.gang_of(layer)), there.time, block.segments, back.time});
      add_block(block, round.remote);
    }
    for (const Crossing& crossing : {there, back}) {
      for (const auto& [name, bytes] : crossing.link_bytes) {
        round.link_bytes[name] += bytes * pool_.layers();
      }
    }
  }
  round.pace = ping_pong(ways, trace);
  round.remote.busy = round.pace.gang_busy;
  return round;
}

TimeParts SplitLayers::floor(std::int64_t tokens, const std::vector<ChipAddress>& mixers) {
  TimeParts parts;
  parts["bridge"] =
      (crossing_floor({tokens, mixers, true}) + crossing_floor({tokens, mixers, false})) *
      pool_.layers();
  Picoseconds& feeding = parts["feed_forward"];
  for (std::int64_t layer = 0; layer < pool_.layers(); ++layer) {
    feeding += pool_.floor(layer, tokens);
  }
  return parts;
}

}  // namespace tandem
