#include <algorithm>
#include <boost/graph/adjacency_list.hpp>
#include <boost/graph/push_relabel_max_flow.hpp>
#include <cmath>

#include "sim/graph/topology.hpp"

namespace tandem {
namespace {

using Traits = boost::adjacency_list_traits<boost::vecS, boost::vecS, boost::directedS>;
using FlowGraph = boost::adjacency_list<
    boost::vecS, boost::vecS, boost::directedS, boost::no_property,
    boost::property<
        boost::edge_capacity_t, std::int64_t,
        boost::property<boost::edge_residual_capacity_t, std::int64_t,
                        boost::property<boost::edge_reverse_t, Traits::edge_descriptor>>>>;

void add_flow_edge(FlowGraph& graph, std::size_t from, std::size_t to, std::int64_t capacity) {
  const auto there = boost::add_edge(from, to, graph).first;
  const auto back = boost::add_edge(to, from, graph).first;
  boost::put(boost::edge_capacity, graph, there, capacity);
  boost::put(boost::edge_capacity, graph, back, 0);
  boost::put(boost::edge_reverse, graph, there, back);
  boost::put(boost::edge_reverse, graph, back, there);
}

}  // namespace

BytesPerSecond min_cut(const Topology& topology, const std::vector<NodeId>& from,
                       const std::vector<NodeId>& to) {
  if (from.empty() || to.empty()) throw ModelError("topology: a cut needs nodes on both sides");
  for (const NodeId node : from) {
    if (std::find(to.begin(), to.end(), node) != to.end()) {
      throw ModelError("topology: the two sides of a cut share '" + topology.node(node).name + "'");
    }
  }
  // As in routes.cpp: node n is left at vertex 2n and reached at 2n or, where it does not forward,
  // at 2n+1.
  const auto leaving = [](NodeId node) { return 2 * to_index(node); };
  const auto reaching = [&](NodeId node) {
    return 2 * to_index(node) + (topology.node(node).forwards ? 0 : 1);
  };
  const std::size_t source = 2 * topology.nodes().size();
  const std::size_t sink = source + 1;
  FlowGraph graph(sink + 1);
  std::int64_t total = 0;
  for (const TopologyLink& link : topology.links()) {
    const auto capacity = static_cast<std::int64_t>(std::llround(link.bandwidth.count()));
    add_flow_edge(graph, leaving(link.from), reaching(link.to), capacity);
    total += capacity;
  }
  for (const NodeId node : from) add_flow_edge(graph, source, leaving(node), total);
  for (const NodeId node : to) add_flow_edge(graph, reaching(node), sink, total);
  return BytesPerSecond(static_cast<double>(boost::push_relabel_max_flow(graph, source, sink)));
}

}  // namespace tandem
