// Wires the groups and bridges of a system description.
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "sim/graph/topology.hpp"

namespace tandem {
namespace {

[[noreturn]] void fail(const System& system, const std::string& what) {
  throw ModelError(fmt::format("topology of system '{}': {}", system.name, what));
}

class Wiring {
 public:
  explicit Wiring(const System& system) : system_(system) {}

  Topology build() {
    for (const ChipGroup& group : system_.groups) add_group(group);
    for (std::size_t i = 0; i < system_.bridges.size(); ++i) add_bridge(system_.bridges[i], i);
    return std::move(topology_);
  }

 private:
  [[noreturn]] void fail(const std::string& what) const { tandem::fail(system_, what); }

  void connect(const std::string& link_class, NodeId from, NodeId to) {
    auto known = wires_.find(link_class);
    if (known == wires_.end()) {
      known = wires_.emplace(link_class, wire_of(system_, link_class)).first;
    }
    TopologyLink link = known->second;
    link.from = from;
    link.to = to;
    topology_.add_duplex(link);
  }

  void add_group(const ChipGroup& group) {
    if (group.count < 1 || group.chips_per_node < 1) {
      fail(fmt::format("pool '{}' needs at least one chip, and one per node", group.pool));
    }
    const bool mesh = group.switch_kind == "mesh";
    if (!mesh && group.switch_kind != "switch") {
      fail(fmt::format("pool '{}' has switch kind '{}'; must be 'switch' or 'mesh'", group.pool,
                       group.switch_kind));
    }
    if (group.count > group.chips_per_node && group.scale_out.empty()) {
      fail(fmt::format("pool '{}' has several nodes and no 'scale_out' link", group.pool));
    }
    for (std::int64_t i = 0; i < group.count; ++i) topology_.add_chip(group.pool, i, mesh);
    mesh ? wire_mesh(group) : wire_switches(group);
  }

  void wire_mesh(const ChipGroup& group) {
    const std::int64_t per_node = group.chips_per_node;
    for (std::int64_t a = 0; a < group.count; ++a) {
      for (std::int64_t b = a + 1; b < group.count; ++b) {
        const bool same_node = a / per_node == b / per_node;
        if (!same_node && a % per_node != b % per_node) continue;
        connect(same_node ? group.link : group.scale_out, topology_.chip(group.pool, a),
                topology_.chip(group.pool, b));
      }
    }
  }

  void wire_switches(const ChipGroup& group) {
    const std::int64_t per_node = group.chips_per_node;
    for (std::int64_t first = 0; per_node > 1 && first < group.count; first += per_node) {
      const std::int64_t end = std::min(group.count, first + per_node);
      if (end - first < 2) continue;
      const NodeId crossbar = topology_.add_node(
          NodeKind::Switch, fmt::format("{}_switch{}", group.pool, first / per_node));
      for (std::int64_t i = first; i < end; ++i) {
        connect(group.link, topology_.chip(group.pool, i), crossbar);
      }
    }
    if (group.count <= per_node) return;
    const NodeId fabric = topology_.add_node(NodeKind::Switch, group.pool + "_fabric");
    for (std::int64_t i = 0; i < group.count; ++i) {
      connect(group.scale_out, topology_.chip(group.pool, i), fabric);
    }
  }

  void add_bridge(const Bridge& bridge, std::size_t number) {
    const std::string name = fmt::format("bridge{}", number);
    if (bridge.links.empty() || bridge.lanes < 1) {
      fail(fmt::format("bridge '{}' to '{}' needs links and at least one lane", bridge.from,
                       bridge.to));
    }
    const auto pair = std::adjacent_find(bridge.links.begin(), bridge.links.end());
    if (pair == bridge.links.end()) {
      for (std::int64_t lane = 0; lane < bridge.lanes; ++lane) {
        chain(lane_end(bridge.from, lane, bridge.lanes), bridge.links,
              lane_end(bridge.to, lane, bridge.lanes), fmt::format("{}_lane{}", name, lane));
      }
      return;
    }
    const NodeId fabric = topology_.add_node(NodeKind::Switch, name + "_switch");
    const std::vector<std::string> near(bridge.links.begin(), pair + 1);
    std::vector<std::string> far(pair + 1, bridge.links.end());
    std::reverse(far.begin(), far.end());
    fan_out(bridge.from, bridge.lanes, near, fabric, name + "_from");
    fan_out(bridge.to, bridge.lanes, far, fabric, name + "_to");
  }

  void fan_out(const std::string& pool, std::int64_t lanes, const std::vector<std::string>& links,
               NodeId fabric, const std::string& name) {
    const std::int64_t ports = std::min(lanes, system_.group(pool).count);
    for (std::int64_t lane = 0; lane < ports; ++lane) {
      chain(lane_end(pool, lane, ports), links, fabric, fmt::format("{}{}", name, lane));
    }
  }

  [[nodiscard]] NodeId lane_end(const std::string& pool, std::int64_t lane,
                                std::int64_t lanes) const {
    return topology_.chip(pool, lane * system_.group(pool).count / lanes);
  }

  void chain(NodeId from, const std::vector<std::string>& links, NodeId to,
             const std::string& name) {
    NodeId at = from;
    for (std::size_t i = 0; i < links.size(); ++i) {
      const bool last = i + 1 == links.size();
      const NodeId next =
          last ? to : topology_.add_node(NodeKind::Bridge, fmt::format("{}_{}", name, i));
      connect(links[i], at, next);
      at = next;
    }
  }

  const System& system_;
  Topology topology_;
  std::map<std::string, TopologyLink> wires_;  ///< by class
};

}  // namespace

TopologyLink wire_of(const System& system, const std::string& link_class) {
  const auto found = system.links.find(link_class);
  if (found == system.links.end()) fail(system, fmt::format("no link class '{}'", link_class));
  const ParameterSet& numbers = found->second.parameters;
  return {{},
          {},
          link_class,
          BytesPerSecond(numbers.value("bandwidth")),
          from_seconds(numbers.value("latency")),
          Bytes(numbers.count("packet")),
          Bytes(numbers.count("header"))};
}

Topology make_topology(const System& system) {
  return Wiring(system).build();
}

}  // namespace tandem
