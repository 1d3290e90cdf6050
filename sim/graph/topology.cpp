#include "sim/graph/topology.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace tandem {

NodeId Topology::add_node(NodeKind kind, std::string name, bool forwards) {
  nodes_.push_back({kind, std::move(name), forwards});
  outgoing_.emplace_back();
  return static_cast<NodeId>(nodes_.size() - 1);
}

NodeId Topology::add_chip(const std::string& pool, std::int64_t index, bool forwards) {
  if (chips_[pool].contains(index)) {
    throw ModelError(fmt::format("topology: chip {} of pool '{}' exists already", index, pool));
  }
  const NodeId id = add_node(NodeKind::Chip, fmt::format("{}{}", pool, index), forwards);
  chips_[pool].emplace(index, id);
  return id;
}

LinkId Topology::add_link(TopologyLink link) {
  if (!(link.bandwidth.count() > 0) || link.packet.count() <= 0 || link.latency.count() < 0 ||
      link.header.count() < 0) {
    throw ModelError(fmt::format(
        "topology: link class '{}' needs a positive bandwidth and packet, and latency and header "
        "of at least 0",
        link.link_class));
  }
  outgoing_.at(to_index(link.from)).push_back(static_cast<LinkId>(links_.size()));
  links_.push_back(std::move(link));
  return static_cast<LinkId>(links_.size() - 1);
}

std::pair<LinkId, LinkId> Topology::add_duplex(const TopologyLink& link) {
  TopologyLink reverse = link;
  std::swap(reverse.from, reverse.to);
  const LinkId there = add_link(link);
  return {there, add_link(std::move(reverse))};
}

NodeId Topology::chip(const std::string& pool, std::int64_t index) const {
  const auto chips = chips_.find(pool);
  if (chips != chips_.end()) {
    const auto found = chips->second.find(index);
    if (found != chips->second.end()) return found->second;
  }
  throw ModelError(fmt::format("topology: pool '{}' has no chip {}", pool, index));
}

Bytes wire_bytes(const TopologyLink& link, Bytes payload) {
  const std::int64_t packet = link.packet.count();
  const std::int64_t packets = std::max<std::int64_t>(1, (payload.count() + packet - 1) / packet);
  return payload + link.header * packets;
}

Picoseconds least_time(const std::vector<const TopologyLink*>& way, Bytes size) {
  Picoseconds latencies{0};
  Picoseconds slowest{0};
  for (const TopologyLink* link : way) {
    latencies += link->latency;
    slowest = std::max(slowest, wire_bytes(*link, size) / link->bandwidth);
  }
  return latencies + slowest;
}

Picoseconds serialisation_time(const TopologyLink& link, Bytes payload) {
  return std::max(Picoseconds(1), wire_bytes(link, payload) / link.bandwidth);
}

}  // namespace tandem
