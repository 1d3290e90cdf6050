#include "models/lpu/rack_host.hpp"

#include <algorithm>

#include "models/lpu/compiler/rank_share.hpp"
#include "sim/core/diagnostics.hpp"

namespace tandem::lpu {
namespace {

std::size_t index_of(std::int64_t value) {
  return static_cast<std::size_t>(value);
}

std::vector<Gang> gangs_of(const Topology& topology, const RackPlan& plan) {
  if (static_cast<int>(plan.stages.size()) * plan.tensor > topology.chips()) {
    throw ModelError("lpu.rack: more chips in the plan than in the topology");
  }
  std::vector<Gang> gangs;
  for (std::size_t stage = 0; stage < plan.stages.size(); ++stage) {
    std::vector<int> chips;
    for (int rank = 0; rank < plan.tensor; ++rank) {
      chips.push_back(static_cast<int>(stage) * plan.tensor + rank);
    }
    gangs.emplace_back(topology, chips);
  }
  return gangs;
}

// The link by which every rank of a gang reaches the same rank of the next one.
Port link_between(const Topology& topology, const Gang& from, const Gang& to) {
  Port link;
  for (int rank = 0; rank < from.size(); ++rank) {
    const int chip = from.chips()[index_of(rank)];
    const auto out = topology.link_to(chip, to.chips()[index_of(rank)]);
    if (!out) throw ModelError("lpu.rack: no link from a stage to the next one");
    const Port in = topology.peer(chip, *out);
    if (rank > 0 && (*out != link.chip || in.link != link.link)) {
      throw ModelError("lpu.rack: ranks reach the next stage over different links");
    }
    link = {*out, in.link};
  }
  return link;
}

// Cycle of the program's Notify: a program without a Sync before it gives it in its first cycle.
std::vector<std::int64_t> starts_of(const Topology& topology, const Geometry& geometry,
                                    const std::vector<CompiledStage>& stages, int tensor) {
  std::vector<std::int64_t> starts(index_of(topology.chips()));
  std::int64_t start = 0;
  for (std::size_t s = 0; s < stages.size(); ++s) {
    if (s > 0) {
      const CompiledStage& before = stages[s - 1];
      if (before.send_cycles.empty()) {
        throw ModelError("lpu.rack: a gang that only holds a part of the head passes nothing on");
      }
      start += before.send_cycles.front() + geometry.link_class(before.links.send_link).latency -
               stages[s].receive_cycles.front();
    }
    std::fill_n(starts.begin() + static_cast<std::int64_t>(s) * tensor, tensor, start);
  }
  return starts;
}

// Of a chip that the plan leaves out.
Program idle_program(std::size_t queues) {
  Program program;
  program.queues.resize(queues);
  return program;
}

}  // namespace

std::vector<Program> RackProgram::programs() const {
  std::vector<Program> result;
  for (const CompiledStage& chip : chips) result.push_back(chip.program);
  result.resize(starts.size(), idle_program(chips.front().program.queues.size()));
  return result;
}

std::int64_t RackProgram::cycles(std::int64_t blocks) const {
  std::int64_t last = 0;
  for (std::size_t chip = 0; chip < chips.size(); ++chip) {
    last = std::max(last, starts[chip] + chips[chip].cycles.at(blocks));
  }
  return last;
}

RackProgram compile_rack(const Topology& topology, const Geometry& chip,
                         const LatencyTable& latencies, const RackPlan& plan, int slots,
                         std::int64_t max_context) {
  RackProgram result;
  result.gangs = gangs_of(topology, plan);
  const Geometry geometry = topology.with_links(chip);
  LinkPlan links;
  for (std::size_t s = 0; s < plan.stages.size(); ++s) {
    int next_receive = links.receive_link;
    if (s + 1 < plan.stages.size()) {
      const Port link = link_between(topology, result.gangs[s], result.gangs[s + 1]);
      links.send_link = link.chip;
      next_receive = link.link;
    }
    result.stages.push_back(compile_gang_stage(geometry, latencies, "chip", plan.stages[s], slots,
                                               max_context, {&topology, &result.gangs[s]}, links));
    links.receive_link = next_receive;
    for (int rank = 0; rank < plan.tensor; ++rank) {
      result.chips.push_back(result.stages.back().of_rank(plan.stages[s], rank));
    }
  }
  result.starts = starts_of(topology, geometry, result.stages, plan.tensor);
  return result;
}

RackHost::RackHost(const Topology& topology, const Geometry& chip, const LatencyTable& latencies,
                   const RackPlan& plan, int slots, std::int64_t max_context,
                   const Weights& weights)
    : program_(compile_rack(topology, chip, latencies, plan, slots, max_context)),
      session_(topology, chip, latencies, true) {
  std::vector<Weights> shares;
  for (int rank = 0; rank < plan.tensor; ++rank) {
    shares.push_back(rank_weights(weights, plan.tensor, rank));
  }
  for (std::size_t i = 0; i < program_.chips.size(); ++i) {
    hosts_.push_back(std::make_unique<ChipHost>(session_.geometry(), program_.chips[i],
                                                shares[i % index_of(plan.tensor)],
                                                session_.machine(static_cast<int>(i))));
  }
  for (int rest = static_cast<int>(hosts_.size()); rest < topology.chips(); ++rest) {
    session_.machine(rest).load(idle_program(index_of(session_.geometry().queue_count())), {});
  }
}

RackPass RackHost::run_token(int slot, std::int64_t position, std::span<const float> embedding) {
  const TokenPlace place{slot, position};
  for (const auto& host : hosts_) host->prepare({&place, 1}, {embedding});
  RackPass pass;
  pass.run = session_.run(program_.starts);
  collect(pass.run, pass);
  return pass;
}

// Puts the ranks' slices of the head together; of equal logits the lowest token wins.
void RackHost::collect(const RackResult& run, RackPass& pass) const {
  float best = 0;
  for (std::size_t i = 0; i < hosts_.size(); ++i) {
    const Stage& stage = program_.chips[i].layout.stage;
    if (!stage.has_head()) continue;
    const TokenResult part = hosts_[i]->results(1, run.chips[i]).tokens.front();
    pass.logits.resize(std::max(pass.logits.size(), index_of(stage.head_end)));
    std::copy(part.logits.begin(), part.logits.end(), pass.logits.begin() + stage.head_begin);
    const bool better = pass.best_token < 0 || part.best_logit > best ||
                        (part.best_logit == best && part.best_token < pass.best_token);
    if (!better) continue;
    best = part.best_logit;
    pass.best_token = part.best_token;
  }
}

}  // namespace tandem::lpu
