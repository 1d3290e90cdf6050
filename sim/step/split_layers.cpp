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
      network_(networks(scenario.system)) {}

const SplitLayers::Crossing& SplitLayers::cross(std::int64_t tokens,
                                                const std::vector<ChipAddress>& mixers,
                                                bool there) {
  const std::int64_t rows = ceil_div(tokens, static_cast<std::int64_t>(mixers.size()));
  const auto key = std::make_tuple(rows, mixers.front(), mixers.size(), there);
  const auto found = crossings_.find(key);
  if (found != crossings_.end()) return found->second;
  return crossings_.emplace(key, send_across(rows, mixers, there)).first->second;
}

SplitLayers::Crossing SplitLayers::send_across(std::int64_t rows,
                                               const std::vector<ChipAddress>& mixers, bool there) {
  const std::vector<ChipAddress> gang = pool_.bridge_chips();
  const std::int64_t width = ceil_div(hidden_, static_cast<std::int64_t>(gang.size()));
  const Bytes size(rows * width * bytes_of(hidden_type_));
  const std::map<std::string, LinkUse> before = network_->usage();
  const Picoseconds start = now_ + crossing_gap;
  Crossing crossing{};
  std::size_t messages = 0;
  for (const ChipAddress& mixer : mixers) {
    for (const ChipAddress& chip : gang) {
      const ChipAddress& from = there ? mixer : chip;
      const ChipAddress& to = there ? chip : mixer;
      network_->send(start, from, to, size, nullptr);
      crossing.floor = std::max(crossing.floor, network_->floor(from, to, size));
      ++messages;
    }
  }
  for (; messages > 0; --messages) now_ = network_->pop_delivery().time;
  crossing.time = now_ - start;
  for (const auto& [name, use] : network_->usage()) {
    const auto old = before.find(name);
    const Bytes moved = use.bytes - (old == before.end() ? Bytes(0) : old->second.bytes);
    if (moved.count() > 0) crossing.link_bytes[name] = moved.count();
  }
  return crossing;
}

SplitRound SplitLayers::round(const std::vector<Picoseconds>& legs, std::int64_t tokens,
                              std::int64_t micro_batches, const std::vector<ChipAddress>& mixers) {
  const Crossing& there = cross(tokens, mixers, true);
  const Crossing& back = cross(tokens, mixers, false);
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
  Picoseconds total =
      (cross(tokens, mixers, true).floor + cross(tokens, mixers, false).floor) * pool_.layers();
  for (std::int64_t layer = 0; layer < pool_.layers(); ++layer) total += pool_.floor(layer, tokens);
  return total;
}

}  // namespace tandem
