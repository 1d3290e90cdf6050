// Graphviz export of topologies and dependency graphs.
#include <fmt/format.h>

#include <algorithm>
#include <boost/graph/adjacency_list.hpp>
#include <boost/graph/graphviz.hpp>
#include <sstream>

#include "sim/graph/topology.hpp"
#include "sim/graph/weighted_dag.hpp"

namespace tandem {
namespace {

struct Drawn {
  std::string attributes;  // inside [...]
};
using Drawing = boost::adjacency_list<boost::vecS, boost::vecS, boost::directedS, Drawn, Drawn>;

std::string render(const Drawing& drawing) {
  std::ostringstream out;
  boost::write_graphviz(
      out, drawing,
      [&](std::ostream& os, auto vertex) { os << '[' << drawing[vertex].attributes << ']'; },
      [&](std::ostream& os, auto edge) { os << '[' << drawing[edge].attributes << ']'; });
  return out.str();
}

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + '"';
}

std::string_view shape_of(NodeKind kind) {
  switch (kind) {
    case NodeKind::Chip:
      return "box";
    case NodeKind::Switch:
      return "diamond";
    case NodeKind::Bridge:
      return "hexagon";
    case NodeKind::Nic:
      return "ellipse";
  }
  return "box";
}

}  // namespace

std::string to_dot(const Topology& topology) {
  Drawing drawing;
  for (const TopologyNode& node : topology.nodes()) {
    boost::add_vertex({fmt::format("label={}, shape={}", quoted(node.name), shape_of(node.kind))},
                      drawing);
  }
  for (const TopologyLink& link : topology.links()) {
    const std::string label =
        fmt::format("{} {:g} GB/s", link.link_class, link.bandwidth.count() / 1e9);
    boost::add_edge(to_index(link.from), to_index(link.to), {"label=" + quoted(label)}, drawing);
  }
  return render(drawing);
}

std::string to_dot(const WeightedDag& dag) {
  const std::vector<std::int32_t> critical = critical_path(dag).members;
  Drawing drawing;
  for (std::size_t i = 0; i < dag.depends_on.size(); ++i) {
    const bool bold =
        std::find(critical.begin(), critical.end(), static_cast<std::int32_t>(i)) != critical.end();
    const std::string name = dag.label.empty() ? fmt::format("{}", i) : dag.label[i];
    const std::string label = fmt::format("{} {} ps", name, dag.duration[i].count());
    boost::add_vertex({fmt::format("label={}{}", quoted(label), bold ? ", style=bold" : "")},
                      drawing);
  }
  for (std::size_t i = 0; i < dag.depends_on.size(); ++i) {
    for (const std::int32_t dependency : dag.depends_on[i]) {
      boost::add_edge(static_cast<std::size_t>(dependency), i, {""}, drawing);
    }
  }
  return render(drawing);
}

}  // namespace tandem
