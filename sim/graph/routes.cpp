#include "sim/graph/routes.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/graph/adjacency_list.hpp>
#include <boost/graph/dijkstra_shortest_paths.hpp>
#include <limits>

namespace tandem {
namespace {

constexpr std::int64_t unreachable = -1;
using Cost = boost::property<boost::edge_weight_t, std::int64_t>;
using Graph =
    boost::adjacency_list<boost::vecS, boost::vecS, boost::directedS, boost::no_property, Cost>;

// Vertices of the search: 2n is node n being left, 2n+1 node n being reached. They are one vertex
// where the node forwards, and apart where it does not, so that no path passes through it.
std::size_t leaving(NodeId node) {
  return 2 * to_index(node);
}
std::size_t reaching(const Topology& topology, NodeId node) {
  return 2 * to_index(node) + (topology.node(node).forwards ? 0 : 1);
}

}  // namespace

// Links backwards, so that one search from a target gives the distances from all nodes.
struct Router::Search {
  explicit Search(std::size_t vertices) : reversed(vertices) {}
  Graph reversed;
};

Router::Router(const Topology& topology, Bytes reference_size)
    : topology_(topology), search_(std::make_unique<Search>(2 * topology.nodes().size())) {
  cost_.reserve(topology.links().size());
  for (const TopologyLink& link : topology.links()) {
    cost_.push_back(link.latency + serialisation_time(link, reference_size));
    boost::add_edge(reaching(topology_, link.to), leaving(link.from), Cost(cost_.back().count()),
                    search_->reversed);
  }
}

Router::~Router() = default;

const Router::Distances& Router::distances_to(NodeId target) {
  const auto known = distances_.find(target);
  if (known != distances_.end()) return known->second;
  const Graph& reversed = search_->reversed;
  constexpr std::int64_t infinite = std::numeric_limits<std::int64_t>::max();
  std::vector<std::int64_t> found(boost::num_vertices(reversed), infinite);
  boost::dijkstra_shortest_paths(
      reversed, reaching(topology_, target),
      boost::distance_map(boost::make_iterator_property_map(
                              found.begin(), boost::get(boost::vertex_index, reversed)))
          .distance_inf(infinite));
  Distances distances;
  for (std::size_t node = 0; node < topology_.nodes().size(); ++node) {
    const std::int64_t cost = found[2 * node];
    distances.emplace_back(cost == infinite ? unreachable : cost);
  }
  // A target that does not forward is left by nobody on the way to itself.
  distances[to_index(target)] = Picoseconds(0);
  return distances_.emplace(target, std::move(distances)).first->second;
}

Route Router::route(NodeId from, NodeId to) {
  return equal_routes(from, to, 1).front();
}

std::vector<Route> Router::equal_routes(NodeId from, NodeId to, std::size_t limit) {
  const Distances& distance = distances_to(to);
  const Picoseconds total = distance[to_index(from)];
  if (total.count() == unreachable) {
    throw ModelError(fmt::format("topology: no path from '{}' to '{}'", topology_.node(from).name,
                                 topology_.node(to).name));
  }
  std::vector<Route> routes;
  std::vector<LinkId> path;
  const auto walk = [&](const auto& self, NodeId at) -> void {
    if (at == to) {
      routes.push_back({path, total});
      return;
    }
    std::vector<LinkId> next;
    for (const LinkId id : topology_.outgoing(at)) {
      const NodeId end = topology_.link(id).to;
      const Picoseconds rest = distance[to_index(end)];
      const bool passes = end == to || topology_.node(end).forwards;
      if (passes && rest.count() != unreachable &&
          rest + cost_[to_index(id)] == distance[to_index(at)]) {
        next.push_back(id);
      }
    }
    std::stable_sort(next.begin(), next.end(), [this](LinkId a, LinkId b) {
      return topology_.link(a).to < topology_.link(b).to;
    });
    for (const LinkId id : next) {
      if (routes.size() >= limit) return;
      path.push_back(id);
      self(self, topology_.link(id).to);
      path.pop_back();
    }
  };
  walk(walk, from);
  return routes;
}

}  // namespace tandem
