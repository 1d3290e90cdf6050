#include "models/link/collectives/fabric.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace tandem::link {
namespace {

double number_or(const ParameterSet& numbers, const char* key, double fallback) {
  return numbers.has(key) ? numbers.value(key) : fallback;
}

void require_distinct(const std::vector<ChipAddress>& ranks) {
  if (ranks.size() < 2) throw ModelError("collective: needs at least two ranks");
  std::set<ChipAddress> seen;
  for (const ChipAddress& rank : ranks) {
    if (seen.insert(rank).second) continue;
    throw ModelError(fmt::format("collective: rank '{}{}' is named twice", rank.pool, rank.index));
  }
}

/// The same wires at `share` of their bandwidth, a number of each link class.
Topology at_share(const Topology& wires, const System& system, const char* share) {
  Topology scaled;
  for (const TopologyNode& node : wires.nodes()) {
    scaled.add_node(node.kind, node.name, node.forwards);
  }
  for (TopologyLink link : wires.links()) {
    const auto found = system.links.find(link.link_class);
    const double factor =
        found == system.links.end() ? 1.0 : number_or(found->second.parameters, share, 1.0);
    if (factor > 0) link.bandwidth = BytesPerSecond(link.bandwidth.count() * factor);
    scaled.add_link(std::move(link));
  }
  return scaled;
}

RankNodes ranks_by_node(const System& system, const std::vector<ChipAddress>& ranks) {
  std::map<std::pair<std::string, std::int64_t>, std::vector<std::int32_t>> nodes;
  for (std::size_t i = 0; i < ranks.size(); ++i) {
    const ChipGroup& group = system.group(ranks[i].pool);
    nodes[{ranks[i].pool, ranks[i].index / group.chips_per_node}].push_back(
        static_cast<std::int32_t>(i));
  }
  RankNodes result;
  for (const auto& [key, members] : nodes) result.push_back(members);
  const bool is_even = std::all_of(result.begin(), result.end(), [&](const auto& node) {
    return node.size() == result.front().size();
  });
  if (is_even) return result;
  // Nodes of different sizes: one ring through all ranks.
  RankNodes single;
  for (const auto& node : result) {
    for (const std::int32_t rank : node) single.push_back({rank});
  }
  return single;
}

/// The switch that every rank's way to the others starts with; none where they differ.
std::optional<NodeId> common_switch(const Network& network, const std::vector<NodeId>& places) {
  std::set<NodeId> first;
  for (std::size_t i = 0; i < places.size(); ++i) {
    const Route& way = network.route(places[i], places[(i + 1) % places.size()]);
    first.insert(network.topology().link(way.links.front()).to);
  }
  if (first.size() != 1) return std::nullopt;
  if (network.topology().node(*first.begin()).kind != NodeKind::Switch) return std::nullopt;
  return *first.begin();
}

Picoseconds latency_of(const Network& network, const Route& way) {
  Picoseconds total{0};
  for (const LinkId link : way.links) total += network.topology().link(link).latency;
  return total;
}

/// One pool of a system by itself: no way between its chips leads through others.
System pool_alone(const System& system, const ChipGroup& group) {
  System alone;
  alone.name = system.name;
  alone.groups = {group};
  alone.links = system.links;
  return alone;
}

void read_chip(Fabric& fabric, const Chip& chip) {
  const ParameterSet& numbers = chip.parameters;
  if (!numbers.has("sms") || !numbers.has("clock")) {
    throw ModelError(fmt::format("collective: chip '{}' is no GPU", chip.name));
  }
  fabric.clock = numbers.value("clock");
  fabric.sms = numbers.count("sms");
  fabric.local_read = from_seconds(number_or(numbers, "l2_latency", 0));
  fabric.launch = from_seconds(number_or(numbers, "launch_overhead", 0));
}

void read_link(Fabric& fabric, const ParameterSet& numbers) {
  fabric.entry = from_seconds(numbers.value("library_entry"));
  fabric.channels = numbers.count("channels");
  fabric.staged_copy = numbers.value("staged_copy");
  fabric.direct_copy = numbers.value("direct_copy");
  fabric.can_reduce_in_switch = numbers.value("in_switch_efficiency") > 0;
}

void read_wires(Fabric& fabric, const Topology& wires) {
  const Network network(wires);
  for (std::size_t i = 0; i < fabric.places.size(); ++i) {
    const Route& way =
        network.route(fabric.places[i], fabric.places[(i + 1) % fabric.places.size()]);
    const Picoseconds latency = latency_of(network, way);
    fabric.latency = i == 0 ? latency : std::min(fabric.latency, latency);
    double out = 0;
    for (const LinkId link : wires.outgoing(fabric.places[i])) {
      out += wires.link(link).bandwidth.count();
    }
    fabric.port = BytesPerSecond(i == 0 ? out : std::min(fabric.port.count(), out));
  }
  if (const auto hub = common_switch(network, fabric.places)) {
    fabric.places.push_back(*hub);
  } else {
    fabric.can_reduce_in_switch = false;
  }
}

}  // namespace

Fabric make_fabric(const System& system, const std::vector<ChipAddress>& ranks) {
  require_distinct(ranks);
  const ChipGroup& group = system.group(ranks.front().pool);
  Fabric fabric;
  fabric.nodes = ranks_by_node(system, ranks);
  const bool is_one_pool = std::all_of(
      ranks.begin(), ranks.end(), [&](const ChipAddress& rank) { return rank.pool == group.pool; });
  const Topology wires = make_topology(is_one_pool ? pool_alone(system, group) : system);
  for (const ChipAddress& rank : ranks) fabric.places.push_back(wires.chip(rank.pool, rank.index));
  const bool is_one_node = fabric.nodes.size() == 1;
  const std::string& joins = is_one_node || group.scale_out.empty() ? group.link : group.scale_out;
  const auto link = system.links.find(joins);
  if (link == system.links.end()) {
    throw ModelError(fmt::format("collective: no link class '{}'", joins));
  }
  read_chip(fabric, system.chips.at(group.chip));
  read_link(fabric, link->second.parameters);
  read_wires(fabric, wires);
  fabric.topology = at_share(wires, system, "efficiency");
  fabric.switch_topology = at_share(wires, system, "in_switch_efficiency");
  return fabric;
}

}  // namespace tandem::link
