// Trees: few steps over many nodes.
#include <algorithm>

#include "models/link/collectives/schedule.hpp"
#include "sim/core/integers.hpp"

namespace tandem::link {
namespace {

/// Parts of a message that follow each other through a tree.
constexpr std::int64_t parts_of_tree = 8;
constexpr std::int32_t no_parent = -1;

/// Parents of tree `c`: within a node a chain to its local rank c, over the nodes a binary heap.
std::vector<std::int32_t> parents_of(const RankNodes& nodes, std::size_t c, std::int32_t ranks) {
  std::vector<std::int32_t> parent(index_of(ranks), no_parent);
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    const auto& node = nodes[i];
    for (std::size_t k = 1; k < node.size(); ++k) {
      parent[index_of(node[(c + k) % node.size()])] = node[(c + k - 1) % node.size()];
    }
    if (i > 0) parent[index_of(node[c % node.size()])] = nodes[(i - 1) / 2][c % node.size()];
  }
  return parent;
}

/// Ranks with every parent before its children.
std::vector<std::int32_t> downwards(const std::vector<std::int32_t>& parent) {
  std::vector<std::int32_t> order;
  const auto ranks = static_cast<std::int32_t>(parent.size());
  for (std::int32_t r = 0; r < ranks; ++r) {
    if (parent[index_of(r)] == no_parent) order.push_back(r);
  }
  for (std::size_t i = 0; i < order.size(); ++i) {
    for (std::int32_t r = 0; r < ranks; ++r) {
      if (parent[index_of(r)] == order[i]) order.push_back(r);
    }
  }
  return order;
}

/// One part of the message up and down one tree.
void climb_and_return(Schedule& schedule, const std::vector<std::int32_t>& parent,
                      const std::vector<std::int32_t>& order, ElementRange range) {
  std::vector<std::vector<std::int32_t>> arrived(parent.size());
  const auto send = [&](std::int32_t from, std::int32_t to, TransferKind kind) {
    Transfer transfer;
    transfer.from = from;
    transfer.to = to;
    transfer.source = transfer.target = range.begin;
    transfer.elements = transfer.handled = range.size();
    transfer.kind = kind;
    transfer.after = arrived[index_of(from)];
    return schedule.add(std::move(transfer));
  };
  for (std::size_t i = order.size(); i-- > 1;) {
    const std::int32_t to = parent[index_of(order[i])];
    arrived[index_of(to)].push_back(send(order[i], to, TransferKind::Add));
  }
  for (std::size_t i = 1; i < order.size(); ++i) {
    arrived[index_of(order[i])] = {send(parent[index_of(order[i])], order[i], TransferKind::Copy)};
  }
}

}  // namespace

Schedule tree(const RankNodes& nodes, std::int64_t elements) {
  Schedule schedule;
  schedule.algorithm = "tree";
  for (const auto& node : nodes) schedule.ranks += static_cast<std::int32_t>(node.size());
  schedule.elements = elements;
  schedule.starts_filled = true;
  const auto trees = nodes.size() > 1 ? static_cast<std::int64_t>(nodes.front().size()) : 1;
  const std::int64_t parts = std::max<std::int64_t>(1, std::min(parts_of_tree, elements / trees));
  for (std::int64_t k = 0; k < parts; ++k) {
    for (std::int64_t c = 0; c < trees; ++c) {
      const ElementRange range = part_of(part_of({0, elements}, c, trees), k, parts);
      if (range.size() == 0) continue;
      const auto parent = parents_of(nodes, index_of(c), schedule.ranks);
      climb_and_return(schedule, parent, downwards(parent), range);
    }
  }
  return schedule;
}

}  // namespace tandem::link
