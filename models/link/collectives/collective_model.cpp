#include "models/link/collectives/collective_model.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "models/link/collectives/exchange.hpp"
#include "sim/core/hash.hpp"

namespace tandem::link {
namespace {

std::uint64_t key_of_question(const Collective& collective) {
  return Hasher()
      .add(collective.op)
      .add(collective.entry)
      .add(collective.bytes.count())
      .add(collective.type)
      .add(collective.tokens)
      .add(collective.hidden)
      .add(collective.top_k)
      .add(collective.experts)
      .add(collective.transport)
      .add(collective.row_extra.count())
      .add(collective.sms)
      .value();
}

/// What takes most of the time: getting started, the links, the blocks' copies, or hand-overs.
std::string bound_of(const Candidate& candidate, const Execution& execution, Picoseconds links) {
  const Picoseconds rest =
      execution.time - candidate.protocol.start - std::max(links, execution.blocks);
  const std::pair<Picoseconds, const char*> shares[] = {{candidate.protocol.start, "launch"},
                                                        {links, "link"},
                                                        {execution.blocks, "sm"},
                                                        {rest, "latency"}};
  return std::max_element(std::begin(shares), std::end(shares),
                          [](const auto& a, const auto& b) { return a.first < b.first; })
      ->second;
}

CollectiveCost cost_of(const Fabric& fabric, const Collective& collective,
                       const Candidate& candidate) {
  const Execution execution =
      execute(fabric, candidate.schedule, candidate.protocol, candidate.width);
  CollectiveCost cost;
  cost.time = execution.time;
  cost.algorithm = candidate.schedule.algorithm;
  cost.protocol = candidate.protocol.name;
  cost.floor = floor_of(fabric, collective, cost.algorithm);
  cost.bound = bound_of(candidate, execution, cost.floor);
  cost.link_bytes = execution.link_bytes;
  cost.sms = std::min(candidate.sms, fabric.sms);
  cost.memory = execution.memory;
  return cost;
}

}  // namespace

const Fabric& SystemCollectives::fabric_of(const std::vector<ChipAddress>& ranks) {
  std::unique_ptr<Fabric>& fabric = fabrics_[ranks];
  if (!fabric) fabric = std::make_unique<Fabric>(make_fabric(system_, ranks));
  return *fabric;
}

const SystemCollectives::Choice& SystemCollectives::choice_of(const std::vector<ChipAddress>& ranks,
                                                              const Collective& collective) {
  const std::pair key(ranks, key_of_question(collective));
  const auto known = known_.find(key);
  if (known != known_.end()) return known->second;
  const Fabric& fabric = fabric_of(ranks);
  const std::vector<Candidate> candidates = candidates_of(fabric, collective);
  Choice best;
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    CollectiveCost cost = cost_of(fabric, collective, candidates[i]);
    if (i == 0 || cost.time < best.cost.time) best = {std::move(cost), i};
  }
  return known_.emplace(key, std::move(best)).first->second;
}

CollectiveCost SystemCollectives::cost(const std::vector<ChipAddress>& ranks,
                                       const Collective& collective) {
  if (collective.bytes.count() < 0) throw ModelError("collective: a size below zero");
  return choice_of(ranks, collective).cost;
}

Picoseconds SystemCollectives::floor(const std::vector<ChipAddress>& ranks,
                                     const Collective& collective) {
  const Fabric& fabric = fabric_of(ranks);
  std::optional<Picoseconds> least;
  for (const char* algorithm : algorithms_of(fabric, collective)) {
    const Picoseconds floor = floor_of(fabric, collective, algorithm);
    least = least ? std::min(*least, floor) : floor;
  }
  return *least;
}

std::vector<Tensor> SystemCollectives::exchange(const std::vector<ChipAddress>& ranks,
                                                const Collective& collective,
                                                const std::vector<Tensor>& inputs) {
  if (inputs.size() != ranks.size()) {
    throw ModelError(
        fmt::format("collective: {} tensors for {} ranks", inputs.size(), ranks.size()));
  }
  if (collective.op == CollectiveOp::MoeDispatch || collective.op == CollectiveOp::MoeCombine) {
    throw ModelError("collective: dispatch and combine move rows by their routing, not here");
  }
  const auto n = static_cast<std::int64_t>(ranks.size());
  const std::int64_t pieces = collective.op == CollectiveOp::AllGather ? n : 1;
  Collective question = collective;
  question.bytes = Bytes(inputs.front().elements() * pieces * bytes_of(collective.type));
  const std::size_t chosen = choice_of(ranks, question).candidate;
  const Candidate candidate = candidates_of(fabric_of(ranks), question).at(chosen);
  return exchange_tensors(candidate.schedule, collective.op, collective.type, inputs);
}

std::unique_ptr<CollectiveModel> make_collectives(const System& system, const Software&) {
  return std::make_unique<SystemCollectives>(system);
}

}  // namespace tandem::link
