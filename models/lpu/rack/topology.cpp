#include "models/lpu/rack/topology.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "sim/core/diagnostics.hpp"
#include "sim/core/integers.hpp"

namespace tandem::lpu {
namespace {

LinkClass link_class_of(const FabricLevel& level, int software_hop) {
  const ParameterSet& numbers = level.parameters;
  return {level.name, static_cast<int>(numbers.count("ports")),
          static_cast<int>(numbers.count("interval")),
          static_cast<int>(numbers.count("latency")) + software_hop};
}

// Units of every level: the fabric's, the outermost ones replaced.
std::vector<int> units_of(const Fabric& fabric, std::span<const int> wanted) {
  if (wanted.size() > fabric.levels.size()) {
    throw ModelError(fmt::format("fabric '{}' has {} levels, units of {} were given", fabric.name,
                                 fabric.levels.size(), wanted.size()));
  }
  std::vector<int> units;
  const std::size_t kept = fabric.levels.size() - wanted.size();
  for (std::size_t level = 0; level < fabric.levels.size(); ++level) {
    const ParameterSet& numbers = fabric.levels[level].parameters;
    const int count =
        level < kept ? static_cast<int>(numbers.count("units")) : wanted[level - kept];
    if (count < 1 || count > numbers.count("most_units")) {
      throw ModelError(fmt::format("fabric '{}': {} units at level '{}'; its ports allow {}",
                                   fabric.name, count, fabric.levels[level].name,
                                   numbers.count("most_units")));
    }
    units.push_back(count);
  }
  return units;
}

}  // namespace

Topology::Topology(const Fabric& fabric, std::span<const int> units, HopMode mode)
    : units_(units_of(fabric, units)) {
  const int software =
      mode == HopMode::Software ? static_cast<int>(fabric.parameters.count("software_hop")) : 0;
  for (const FabricLevel& level : fabric.levels) classes_.push_back(link_class_of(level, software));
  for (const int count : units_) chips_ *= count;
  peers_.resize(index_of(chips_ * links_per_chip()));
  for (std::size_t level = 0; level < fabric.levels.size(); ++level) {
    wire(static_cast<int>(level), fabric.levels[level].wiring);
  }
}

Topology Topology::node_of(const Geometry& chip, int chips) {
  if (chip.links.empty() || chip.links.front().count < chips - 1) {
    throw ModelError(
        fmt::format("lpu.rack: a chip's links do not join it to {} others", chips - 1));
  }
  Topology node;
  node.chips_ = chips;
  node.classes_ = chip.links;
  node.units_.assign(chip.links.size(), 1);
  node.units_.front() = chips;
  node.peers_.resize(index_of(chips * node.links_per_chip()));
  node.wire(0, Wiring::Complete);
  return node;
}

Topology Topology::trays_of(const Geometry& chip, int chips, int trays) {
  if (trays == 1) return node_of(chip, chips);
  if (chip.links.empty() || chip.links.front().count < chips - 1 ||
      chip.tray_links.count < trays - 1) {
    throw ModelError(
        fmt::format("lpu.rack: a chip's links do not join {} trays of {}", trays, chips));
  }
  Topology rack;
  rack.chips_ = chips * trays;
  rack.classes_ = {chip.links.front(), chip.tray_links};
  rack.units_ = {chips, trays};
  rack.peers_.resize(index_of(rack.chips_ * rack.links_per_chip()));
  for (const int level : {0, 1}) rack.wire(level, Wiring::Complete);
  return rack;
}

int Topology::links_per_chip() const {
  return first_link(levels());
}

int Topology::first_link(int level) const {
  int first = 0;
  for (int i = 0; i < level; ++i) first += classes_[index_of(i)].count;
  return first;
}

int Topology::chips_below(int level) const {
  int chips = 1;
  for (int i = 0; i < level; ++i) chips *= units_[index_of(i)];
  return chips;
}

Geometry Topology::with_links(Geometry chip) const {
  chip.links = classes_;
  return chip;
}

Port Topology::peer(int chip, int link) const {
  return peers_[index_of(chip * links_per_chip() + link)];
}

void Topology::wire(int level, Wiring wiring) {
  const int below = chips_below(level);
  for (int chip = 0; chip < chips_; ++chip) {
    const int unit = chip / below % units_[index_of(level)];
    for (int port = 0; port < classes_[index_of(level)].count; ++port) {
      switch (wiring) {
        case Wiring::Complete:
          wire_complete(level, unit, chip, port);
          break;
        case Wiring::Dragonfly:
          wire_dragonfly(level, unit, chip, port);
          break;
        case Wiring::Ring:
          wire_ring(level, unit, chip, port);
          break;
        case Wiring::Chain:
          wire_chain(level, unit, chip, port);
      }
    }
  }
}

// To port `port` of the chip with index `chip` within unit `unit` of the same level.
void Topology::connect(int level, Port from, int unit, int chip, int port) {
  const int below = chips_below(level);
  const int whole = below * units_[index_of(level)];
  const int target = from.chip / whole * whole + unit * below + chip;
  peers_[index_of(from.chip * links_per_chip() + first_link(level) + from.link)] = {
      target, first_link(level) + port};
}

void Topology::wire_complete(int level, int unit, int chip, int port) {
  const int units = units_[index_of(level)];
  const int others = units - 1;
  if (port >= others) return;
  const int index = chip % chips_below(level);
  const int step = port + 1;
  if (std::has_single_bit(static_cast<unsigned>(units))) {
    connect(level, {chip, port}, unit ^ step, index, port);
    return;
  }
  connect(level, {chip, port}, (unit + step) % units, index, others - step);
}

void Topology::wire_dragonfly(int level, int unit, int chip, int port) {
  const int units = units_[index_of(level)];
  const int others = units - 1;
  const int below = chips_below(level);
  const int ports = classes_[index_of(level)].count;
  const int of_unit = chip % below * ports + port;
  if (others == 0 || of_unit >= below * ports / others * others) return;
  const int step = of_unit % others + 1;
  const int back = of_unit - of_unit % others + (others - step);
  connect(level, {chip, port}, (unit + step) % units, back / ports, back % ports);
}

void Topology::wire_ring(int level, int unit, int chip, int port) {
  const int units = units_[index_of(level)];
  if ((port + 1) % units == 0) return;
  const int half = chips_below(level) / 2;
  const int index = chip % chips_below(level);
  const bool ahead = index < half;
  const int step = ahead ? port + 1 : units - (port + 1) % units;
  connect(level, {chip, port}, (unit + step) % units, ahead ? index + half : index - half, port);
}

void Topology::wire_chain(int level, int unit, int chip, int port) {
  const int half = classes_[index_of(level)].count / 2;
  const bool up = port < half;
  const int target = up ? unit + 1 : unit - 1;
  if (target < 0 || target >= units_[index_of(level)]) return;
  connect(level, {chip, port}, target, chip % chips_below(level), up ? port + half : port - half);
}

std::optional<int> Topology::link_to(int from, int to) const {
  for (int link = 0; link < links_per_chip(); ++link) {
    if (peer(from, link).chip == to) return link;
  }
  return std::nullopt;
}

int Topology::links_between(int first, int count, int other, int other_count) const {
  int links = 0;
  for (int chip = first; chip < first + count; ++chip) {
    for (int link = 0; link < links_per_chip(); ++link) {
      const int to = peer(chip, link).chip;
      links += to >= other && to < other + other_count ? 1 : 0;
    }
  }
  return links;
}

std::vector<int> Topology::hops_from(int chip) const {
  std::vector<int> hops(index_of(chips_), -1);
  std::vector<int> reached{chip};
  hops[index_of(chip)] = 0;
  for (std::size_t next = 0; next < reached.size(); ++next) {
    const int from = reached[next];
    for (int link = 0; link < links_per_chip(); ++link) {
      const int to = peer(from, link).chip;
      if (to < 0 || hops[index_of(to)] >= 0) continue;
      hops[index_of(to)] = hops[index_of(from)] + 1;
      reached.push_back(to);
    }
  }
  return hops;
}

int Topology::diameter() const {
  int most = 0;
  for (int chip = 0; chip < chips_; ++chip) {
    const std::vector<int> hops = hops_from(chip);
    if (std::count(hops.begin(), hops.end(), -1) > 0) return -1;
    most = std::max(most, *std::max_element(hops.begin(), hops.end()));
  }
  return most;
}

BytesPerSecond link_rate(const Geometry& geometry, int link) {
  return BytesPerSecond(geometry.vector_bytes() * geometry.clock.count() /
                        geometry.link_class(link).cycles_per_vector);
}

}  // namespace tandem::lpu
