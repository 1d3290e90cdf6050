#include "sim/graph/weighted_dag.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/graph/adjacency_list.hpp>
#include <boost/graph/topological_sort.hpp>

#include "sim/core/diagnostics.hpp"

namespace tandem {
namespace {

using DependencyGraph = boost::adjacency_list<boost::vecS, boost::vecS, boost::directedS>;

/// Vertices in an order in which every dependency comes before what depends on it.
std::vector<std::size_t> execution_order(const WeightedDag& dag) {
  const std::size_t count = dag.depends_on.size();
  if (dag.duration.size() != count || (!dag.label.empty() && dag.label.size() != count)) {
    throw ModelError("dependency graph: durations and labels must be one per vertex");
  }
  DependencyGraph graph(count);
  for (std::size_t vertex = 0; vertex < count; ++vertex) {
    for (const std::int32_t dependency : dag.depends_on[vertex]) {
      if (dependency < 0 || static_cast<std::size_t>(dependency) >= count) {
        throw ModelError(fmt::format("dependency graph: vertex {} depends on {}, of {} vertices",
                                     vertex, dependency, count));
      }
      boost::add_edge(vertex, static_cast<std::size_t>(dependency), graph);
    }
  }
  std::vector<std::size_t> order;
  try {
    boost::topological_sort(graph, std::back_inserter(order));
  } catch (const boost::not_a_dag&) {
    throw ModelError("dependency graph: has a cycle");
  }
  return order;
}

}  // namespace

std::vector<Picoseconds> earliest_finish(const WeightedDag& dag) {
  std::vector<Picoseconds> finish(dag.depends_on.size());
  for (const std::size_t vertex : execution_order(dag)) {
    Picoseconds start{0};
    for (const std::int32_t dependency : dag.depends_on[vertex]) {
      start = std::max(start, finish[static_cast<std::size_t>(dependency)]);
    }
    finish[vertex] = start + dag.duration[vertex];
  }
  return finish;
}

CriticalPath critical_path(const WeightedDag& dag) {
  const std::vector<Picoseconds> finish = earliest_finish(dag);
  CriticalPath path;
  if (finish.empty()) return path;
  auto at =
      static_cast<std::int32_t>(std::max_element(finish.begin(), finish.end()) - finish.begin());
  path.total = finish[static_cast<std::size_t>(at)];
  while (at >= 0) {
    path.members.push_back(at);
    std::int32_t latest = -1;
    for (const std::int32_t dependency : dag.depends_on[static_cast<std::size_t>(at)]) {
      const auto later = [&](std::int32_t a, std::int32_t b) {
        const Picoseconds fa = finish[static_cast<std::size_t>(a)];
        const Picoseconds fb = finish[static_cast<std::size_t>(b)];
        return fa != fb ? fa > fb : a < b;
      };
      if (latest < 0 || later(dependency, latest)) latest = dependency;
    }
    at = latest;
  }
  std::reverse(path.members.begin(), path.members.end());
  return path;
}

}  // namespace tandem
