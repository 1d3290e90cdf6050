// Nodes and directed links of a system. A plain value: routes are found in routes.hpp, messages
// are moved by models/link.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "sim/core/units.hpp"
#include "sim/describe/scenario.hpp"

namespace tandem {

enum class NodeId : std::int32_t {};
enum class LinkId : std::int32_t {};
[[nodiscard]] constexpr std::size_t to_index(NodeId id) {
  return static_cast<std::size_t>(id);
}
[[nodiscard]] constexpr std::size_t to_index(LinkId id) {
  return static_cast<std::size_t>(id);
}

enum class NodeKind : std::uint8_t { Chip, Switch, Bridge, Nic };

/// A place where links end. `forwards`: messages of others may pass through it (switches, bridges,
/// NICs, and chips of a mesh); a GPU only sends and receives.
struct TopologyNode {
  NodeKind kind = NodeKind::Switch;
  std::string name;
  bool forwards = true;
};

/// One direction of a link. `latency` is one way, from the last bit of a packet leaving the sender
/// to the packet being usable at `to`; each packet of up to `packet` payload bytes carries `header`
/// bytes more.
struct TopologyLink {
  NodeId from{};
  NodeId to{};
  std::string link_class;
  BytesPerSecond bandwidth;
  Picoseconds latency;
  Bytes packet;
  Bytes header;
};

/// The ports and wires of a system. Ids count from 0 in the order of addition, so equal
/// descriptions give equal ids.
class Topology {
 public:
  NodeId add_node(NodeKind kind, std::string name, bool forwards = true);
  /// A chip that is addressed by (pool, index). Throws ModelError when the address is taken.
  NodeId add_chip(const std::string& pool, std::int64_t index, bool forwards);
  /// One direction. Throws ModelError unless bandwidth and packet are positive and latency and
  /// header are not negative.
  LinkId add_link(TopologyLink link);
  /// Both directions, `link` and its reverse, in that order.
  std::pair<LinkId, LinkId> add_duplex(const TopologyLink& link);

  [[nodiscard]] const std::vector<TopologyNode>& nodes() const { return nodes_; }
  [[nodiscard]] const std::vector<TopologyLink>& links() const { return links_; }
  [[nodiscard]] const TopologyLink& link(LinkId id) const { return links_.at(to_index(id)); }
  [[nodiscard]] const TopologyNode& node(NodeId id) const { return nodes_.at(to_index(id)); }
  /// Links that leave a node, in the order of addition.
  [[nodiscard]] const std::vector<LinkId>& outgoing(NodeId id) const {
    return outgoing_.at(to_index(id));
  }
  /// Throws ModelError when there is no such chip.
  [[nodiscard]] NodeId chip(const std::string& pool, std::int64_t index) const;

 private:
  std::vector<TopologyNode> nodes_;
  std::vector<TopologyLink> links_;
  std::vector<std::vector<LinkId>> outgoing_;
  std::unordered_map<std::string, std::unordered_map<std::int64_t, NodeId>> chips_;  ///< by pool
};

/// Payload bytes plus one header per packet. An empty message is one packet of header alone.
[[nodiscard]] Bytes wire_bytes(const TopologyLink& link, Bytes payload);

/// Time for which `payload` occupies the link, headers included, rounded up; never below 1 ps.
[[nodiscard]] Picoseconds serialisation_time(const TopologyLink& link, Bytes payload);

/// Latencies of the links of a way plus the serialisation of the whole message on the slowest: no
/// message is faster.
[[nodiscard]] Picoseconds least_time(const std::vector<const TopologyLink*>& way, Bytes size);

/// A wire of a link class, without its ends. Throws ModelError when the system has no such class.
[[nodiscard]] TopologyLink wire_of(const System& system, const std::string& link_class);

/// Wires a system:
///  - switch_kind "switch": the chips of a node hang on one crossbar by `link`; with several nodes
///    every chip also hangs on one fabric switch by `scale_out`. A path between two chips crosses
///    the class twice, up and down.
///  - switch_kind "mesh": the chips of a node are joined all to all by `link`, and chips with the
///    same index within their node are joined all to all across nodes by `scale_out`. Chips
///    forward, since a path to another index in another node takes both.
///  - a bridge of links l1..lk is a chain from a chip of `from` over k-1 bridge nodes to a chip of
///    `to`. Lane i starts at chip floor(i * chips / lanes) of either pool. Where two consecutive
///    links have the same class they meet in one switch shared by all lanes; a pool then has no
///    more lanes than chips, since a chip has one port to the fabric.
/// Throws ModelError that names the group, bridge or link class that is wrong.
[[nodiscard]] Topology make_topology(const System& system);

/// Smallest total bandwidth of directed links whose removal cuts every path from `from` to `to`
/// (max-flow min-cut; Ford and Fulkerson 1956). The sets must be disjoint and not empty.
[[nodiscard]] BytesPerSecond min_cut(const Topology& topology, const std::vector<NodeId>& from,
                                     const std::vector<NodeId>& to);

/// Graphviz text: nodes by kind, links labelled with class and bandwidth.
[[nodiscard]] std::string to_dot(const Topology& topology);

}  // namespace tandem
