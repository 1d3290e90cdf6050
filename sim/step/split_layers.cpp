#include "sim/step/split_layers.hpp"

#include <algorithm>

#include "sim/core/integers.hpp"

namespace tandem {
namespace {

// Crossings are timed on an idle network: each goes long after the one before has arrived.
constexpr Picoseconds crossing_gap{1000000000};

std::map<std::string, TopologyLink> wires_of(const System& system) {
  std::map<std::string, TopologyLink> wires;
  for (const auto& [name, link] : system.links) wires.emplace(name, wire_of(system, name));
  return wires;
}

}  // namespace

SplitLayers::SplitLayers(const Scenario& scenario, const Catalogue& catalogue,
                         const NetworkFactory& networks, StageStore& store)
    : pool_(scenario, catalogue, store),
      hidden_(scenario.model.hidden),
      hidden_type_(scenario.placement.decode.precision.activations),
      network_(networks(scenario.system)),
      wires_(wires_of(scenario.system)),
      ways_(std::make_shared<std::map<Key, std::set<Way>>>()) {}

SplitLayers::SplitLayers(const Scenario& scenario, const SplitLayers& like,
                         const Catalogue& catalogue, const NetworkFactory& networks,
                         StageStore& store)
    : pool_(scenario, like.pool_, catalogue, store),
      hidden_(like.hidden_),
      hidden_type_(like.hidden_type_),
      network_(networks(scenario.system)),
      wires_(wires_of(scenario.system)),
      ways_(like.ways_) {}

SplitLayers::Rows SplitLayers::rows_of(std::int64_t tokens, const std::vector<ChipAddress>& mixers,
                                       bool there) const {
  return {ceil_div(tokens, static_cast<std::int64_t>(mixers.size())), mixers, there};
}

SplitLayers::Key SplitLayers::key_of(const Rows& rows) {
  return {rows.rows, rows.mixers.front(), rows.mixers.size(), rows.there};
}

/// A rank's rows, as wide as one bridge chip's part.
Bytes SplitLayers::message_size(const Rows& rows) const {
  const auto parts = static_cast<std::int64_t>(pool_.bridge_chips().size());
  return Bytes(rows.rows * ceil_div(hidden_, parts) * bytes_of(hidden_type_));
}

/// Calls `each` with sender, receiver and size of every message.
template <typename Each>
void SplitLayers::each_message(const Rows& rows, Each each) const {
  const std::vector<ChipAddress> gang = pool_.bridge_chips();
  const Bytes size = message_size(rows);
  for (const ChipAddress& mixer : rows.mixers) {
    for (const ChipAddress& chip : gang) {
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

const std::set<SplitLayers::Way>& SplitLayers::ways_of(const Rows& rows) {
  const auto [known, is_new] = ways_->try_emplace(key_of(rows));
  if (is_new) {
    each_message(rows, [&](const ChipAddress& from, const ChipAddress& to, Bytes) {
      known->second.insert(network_->path(from, to));
    });
  }
  return known->second;
}

/// The slowest message of the crossing, were it alone.
Picoseconds SplitLayers::crossing_floor(const Rows& rows) {
  const Bytes size = message_size(rows);
  Picoseconds slowest{0};
  for (const Way& way : ways_of(rows)) {
    std::vector<const TopologyLink*> links;
    for (const std::string& link_class : way) links.push_back(&wires_.at(link_class));
    slowest = std::max(slowest, least_time(links, size));
  }
  return slowest;
}

SplitRound SplitLayers::round(const std::vector<Picoseconds>& legs, std::int64_t tokens,
                              std::int64_t micro_batches, const std::vector<ChipAddress>& mixers) {
  const Crossing& there = cross(rows_of(tokens, mixers, true));
  const Crossing& back = cross(rows_of(tokens, mixers, false));
  SplitRound round;
  std::vector<FeedForwardVisit> visits;
  for (std::int64_t layer = 0; layer < pool_.layers(); ++layer) {
    const StageResult& block = pool_.run(layer, tokens);
    visits.push_back({index_of(pool_.gang_of(layer)), there.time, block.time, back.time});
    for (const auto& [name, count] : block.activity) {
      round.remote.activity[name] += count * micro_batches;
    }
    round.remote.matrix += block.matrix * micro_batches;
    round.remote.memory += block.memory * micro_batches;
    round.remote.kernels += block.kernels * micro_batches;
  }
  const std::int64_t crossings = pool_.layers() * micro_batches;
  for (const Crossing* crossing : {&there, &back}) {
    for (const auto& [name, bytes] : crossing->link_bytes) {
      round.link_bytes[name] += bytes * crossings;
    }
  }
  round.pace = ping_pong(legs, visits, micro_batches);
  round.remote.busy = round.pace.gang_busy;
  return round;
}

Picoseconds SplitLayers::floor(std::int64_t tokens, const std::vector<ChipAddress>& mixers) {
  Picoseconds total = (crossing_floor(rows_of(tokens, mixers, true)) +
                       crossing_floor(rows_of(tokens, mixers, false))) *
                      pool_.layers();
  for (std::int64_t layer = 0; layer < pool_.layers(); ++layer) total += pool_.floor(layer, tokens);
  return total;
}

}  // namespace tandem
