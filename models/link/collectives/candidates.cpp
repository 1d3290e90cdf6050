#include "models/link/collectives/candidates.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "models/link/collectives/protocols.hpp"
#include "sim/core/integers.hpp"

namespace tandem::link {
namespace {

std::int32_t size_of(const RankNodes& nodes) {
  std::int32_t ranks = 0;
  for (const auto& node : nodes) ranks += static_cast<std::int32_t>(node.size());
  return ranks;
}

bool is_floating(ElementType type) {
  return type == ElementType::Float32 || type == ElementType::Bfloat16 ||
         type == ElementType::Float16;
}

std::int64_t elements_of(const Collective& collective) {
  return ceil_div(collective.bytes.count(), bytes_of(collective.type));
}

Bytes width_of(const Collective& collective) {
  return Bytes(bytes_of(collective.type));
}

/// Switches add floating-point elements only.
bool may_reduce_in_switch(const Fabric& fabric, const Collective& collective) {
  return fabric.can_reduce_in_switch && is_floating(collective.type);
}

/// Whether a framework's own kernel takes the message; it hands others to the library.
bool stays_in_graph(const Fabric& fabric, const Collective& collective) {
  return collective.entry == CollectiveEntry::InGraph && fabric.nodes.size() == 1 &&
         collective.bytes <= graph_workspace(size_of(fabric.nodes));
}

/// What the communication library may run for sums and gathers.
std::vector<Candidate> library_reductions(const Fabric& fabric, const Collective& collective) {
  const std::int64_t elements = elements_of(collective);
  const Bytes width = width_of(collective);
  std::vector<Candidate> all;
  const Schedule rings = ring(collective.op, fabric.nodes, elements);
  for (const Protocol& protocol : library_protocols(fabric)) {
    all.push_back({rings, protocol, fabric.channels, width});
  }
  if (collective.op != CollectiveOp::AllReduce) return all;
  if (fabric.nodes.size() > 1) {
    const Schedule trees = tree(fabric.nodes, elements);
    for (const Protocol& protocol : library_protocols(fabric)) {
      all.push_back({trees, protocol, fabric.channels, width});
    }
  }
  if (may_reduce_in_switch(fabric, collective)) {
    const std::int32_t ranks = size_of(fabric.nodes);
    const Bytes buffer = in_switch_buffer(ranks);
    all.push_back({in_switch(ranks, elements, buffer.count() / width.count()),
                   in_switch_protocol(fabric, std::min(buffer, collective.bytes)), fabric.channels,
                   width});
  }
  return all;
}

/// What a framework's own kernel may run.
std::vector<Candidate> graph_reductions(const Fabric& fabric, const Collective& collective) {
  const std::int32_t ranks = size_of(fabric.nodes);
  const std::int64_t elements = elements_of(collective);
  const Bytes width = width_of(collective);
  return {{one_shot(ranks, elements), one_shot_protocol(fabric), fabric.sms, width},
          {two_shot(ranks, elements), two_shot_protocol(fabric), fabric.channels, width}};
}

std::vector<Candidate> all_reduces(const Fabric& fabric, const Collective& collective) {
  return stays_in_graph(fabric, collective) ? graph_reductions(fabric, collective)
                                            : library_reductions(fabric, collective);
}

std::vector<Candidate> exchanges(const Fabric& fabric, const Collective& collective) {
  const std::int32_t ranks = size_of(fabric.nodes);
  const bool is_pair = collective.op == CollectiveOp::SendRecv;
  if (is_pair && ranks != 2) {
    throw ModelError(fmt::format("collective: send_recv is between 2 ranks, not {}", ranks));
  }
  const std::int64_t elements = elements_of(collective);
  const Schedule schedule = is_pair ? send_recv(elements) : all_to_all(ranks, elements);
  const Bytes message(is_pair ? collective.bytes.count()
                              : ceil_div(collective.bytes.count(), ranks));
  return {{schedule, peer_protocol(fabric, message, ranks), fabric.channels, width_of(collective)}};
}

std::vector<Candidate> expert_exchanges(const Fabric& fabric, const Collective& collective) {
  const std::int32_t ranks = size_of(fabric.nodes);
  const Bytes to_rank = bytes_of_rows(collective, rows_per_peer(collective, ranks));
  const Protocol protocol = expert_protocol(fabric, collective);
  // Rows are expectations, so schedules are made of bytes.
  const Bytes byte(1);
  const auto with = [&](Schedule schedule) -> std::vector<Candidate> {
    return {{std::move(schedule), protocol, expert_sms(fabric, collective), byte}};
  };
  if (!goes_by_node(fabric, collective)) return with(exchange_rows(ranks, to_rank.count()));
  const auto nodes = static_cast<std::int64_t>(fabric.nodes.size());
  const Bytes to_node = bytes_of_rows(collective, rows_per_node(collective, ranks, nodes));
  const BulkRows bulk{to_node.count(), to_rank.count()};
  return with(collective.op == CollectiveOp::MoeDispatch ? dispatch_by_node(fabric.nodes, bulk)
                                                         : combine_by_node(fabric.nodes, bulk));
}

}  // namespace

std::vector<Candidate> candidates_of(const Fabric& fabric, const Collective& collective) {
  switch (collective.op) {
    case CollectiveOp::AllReduce:
      return all_reduces(fabric, collective);
    case CollectiveOp::AllGather:
    case CollectiveOp::ReduceScatter:
      return library_reductions(fabric, collective);
    case CollectiveOp::AllToAll:
    case CollectiveOp::SendRecv:
      return exchanges(fabric, collective);
    case CollectiveOp::MoeDispatch:
    case CollectiveOp::MoeCombine:
      return expert_exchanges(fabric, collective);
  }
  return {};
}

bool goes_by_node(const Fabric& fabric, const Collective& collective) {
  return collective.transport == MoeTransport::Bulk && fabric.nodes.size() > 1;
}

std::vector<const char*> algorithms_of(const Fabric& fabric, const Collective& collective) {
  if (collective.op == CollectiveOp::MoeDispatch || collective.op == CollectiveOp::MoeCombine) {
    return {goes_by_node(fabric, collective) ? "by_node" : "direct"};
  }
  if (collective.op == CollectiveOp::SendRecv || collective.op == CollectiveOp::AllToAll) {
    return {"direct"};
  }
  if (collective.op != CollectiveOp::AllReduce) return {"ring"};
  if (stays_in_graph(fabric, collective)) return {"one_shot", "two_shot"};
  std::vector<const char*> names{"ring"};
  if (fabric.nodes.size() > 1) names.push_back("tree");
  if (may_reduce_in_switch(fabric, collective)) names.push_back("in_switch");
  return names;
}

}  // namespace tandem::link
