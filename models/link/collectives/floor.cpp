// The floor: closed forms from the description alone. Shares nothing with schedules and networks.
#include <algorithm>
#include <cmath>

#include "models/link/collectives/candidates.hpp"

namespace tandem::link {
namespace {

/// Bytes that the most loaded rank must send, and messages that follow each other.
struct ClosedForm {
  double bytes = 0;
  std::int64_t hops = 1;
};

ClosedForm all_reduce_form(const std::string& algorithm, double n, double bytes) {
  const double share = (n - 1) / n;
  const auto steps = static_cast<std::int64_t>(n) - 1;
  if (algorithm == "ring") return {2 * share * bytes, 2 * steps};
  if (algorithm == "one_shot") return {(n - 1) * bytes, 1};
  if (algorithm == "two_shot") return {2 * share * bytes, 2};
  if (algorithm == "in_switch") return {bytes + bytes / n, 2};
  return {bytes, 2};  // tree: every rank but the root sends its whole sum up
}

/// By way of one rank per node every rank sends once to each other node, and to each of its own
/// node for all nodes.
ClosedForm by_node_form(const Fabric& fabric, const Collective& collective, std::int64_t n) {
  const auto nodes = static_cast<std::int64_t>(fabric.nodes.size());
  std::size_t smallest = fabric.nodes.front().size();
  for (const auto& node : fabric.nodes) smallest = std::min(smallest, node.size());
  const double rows =
      rows_per_node(collective, n, nodes) * static_cast<double>(nodes - 1) +
      rows_per_peer(collective, n) * static_cast<double>(smallest - 1) * static_cast<double>(nodes);
  return {rows * static_cast<double>(bytes_per_row(collective).count()), 1};
}

ClosedForm closed_form(const Collective& collective, const std::string& algorithm, double n) {
  const auto bytes = static_cast<double>(collective.bytes.count());
  const double share = (n - 1) / n;
  switch (collective.op) {
    case CollectiveOp::AllReduce:
      return all_reduce_form(algorithm, n, bytes);
    case CollectiveOp::AllGather:
    case CollectiveOp::ReduceScatter:
      return {share * bytes, static_cast<std::int64_t>(n) - 1};
    case CollectiveOp::AllToAll:
      return {share * bytes, 1};
    case CollectiveOp::SendRecv:
      return {bytes, 1};
    case CollectiveOp::MoeDispatch:
    case CollectiveOp::MoeCombine: {
      const double rows = rows_per_peer(collective, std::llround(n));
      return {rows * (n - 1) * static_cast<double>(bytes_per_row(collective).count()), 1};
    }
  }
  return {};
}

}  // namespace

Picoseconds floor_of(const Fabric& fabric, const Collective& collective,
                     const std::string& algorithm) {
  double ranks = 0;
  for (const auto& node : fabric.nodes) ranks += static_cast<double>(node.size());
  const ClosedForm form = algorithm == "by_node"
                              ? by_node_form(fabric, collective, std::llround(ranks))
                              : closed_form(collective, algorithm, ranks);
  // Pieces are rounded to elements; the floor may lack a byte per message but never have one more.
  const double seconds = std::max(0.0, form.bytes - 16 * ranks) / fabric.port.count();
  return from_seconds(seconds) + fabric.latency * form.hops;
}

}  // namespace tandem::link
