// Shortest paths over a topology.
#pragma once

#include <map>
#include <memory>
#include <vector>

#include "sim/core/units.hpp"
#include "sim/graph/topology.hpp"

namespace tandem {

/// Links from source to target in order, and the time by which routes are compared: the sum over
/// links of latency and serialisation of the reference size.
struct Route {
  std::vector<LinkId> links;
  Picoseconds cost;
};

/// Finds routes. Paths pass only through nodes that forward. Among equal paths the one whose next
/// node, then next link, has the lowest id comes first, so routes do not depend on anything but the
/// topology. Keeps what it found per target.
class Router {
 public:
  Router(const Topology& topology, Bytes reference_size);
  ~Router();
  Router(const Router&) = delete;
  Router& operator=(const Router&) = delete;
  /// The first of equal_routes(). Throws ModelError when there is no path. Empty for from == to.
  [[nodiscard]] Route route(NodeId from, NodeId to);
  /// All routes of least cost, at most `limit` of them, in the order of the tie-break.
  [[nodiscard]] std::vector<Route> equal_routes(NodeId from, NodeId to, std::size_t limit);

 private:
  /// Cost from leaving each node to reaching the target; unreachable holds -1.
  using Distances = std::vector<Picoseconds>;
  const Distances& distances_to(NodeId target);

  struct Search;

  const Topology& topology_;
  std::vector<Picoseconds> cost_;   // by link
  std::unique_ptr<Search> search_;  // the graph that all searches run on
  std::map<NodeId, Distances> distances_;
};

}  // namespace tandem
