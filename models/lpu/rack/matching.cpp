// Sends and receives of all programs of a rack, matched without running them.
#include <fmt/format.h>

#include <set>
#include <tuple>

#include "models/lpu/program_walk.hpp"
#include "models/lpu/rack/session.hpp"

namespace tandem::lpu {
namespace {

// Chip, link and cycle of an arrival, in the time base of the rack.
using Arrival = std::tuple<int, int, std::int64_t>;

// Cycle in which the queues of a program leave their first Sync: the first Notify's plus barrier.
std::int64_t release_of(const Program& program, const LatencyTable& latencies) {
  for (const QueueProgram& queue : program.queues) {
    std::int64_t cycle = 0;
    for (const Instruction& word : queue) {
      if (word.op == Opcode::Notify) return cycle + latencies.barrier;
      if (word.op != Opcode::Nop) break;
      cycle += word.count;
    }
  }
  return 0;
}

template <class Visit>
void visit_issues(const QueueProgram& words, int queue, std::int64_t release, Visit visit) {
  const HostRegisters registers{};
  QueueWalk walk(words, registers, queue, "C2C");
  while (walk.state() != QueueWalk::State::Finished) {
    if (walk.state() == QueueWalk::State::Parked) {
      if (walk.at_last_word()) return;
      walk.resume(release);
      continue;
    }
    visit(*walk.issue().instruction, walk.issue().cycle);
    walk.advance();
  }
}

}  // namespace

std::vector<std::string> find_unmatched(const Topology& topology, std::span<const Program> programs,
                                        const LatencyTable& latencies,
                                        std::span<const std::int64_t> starts) {
  const Geometry geometry = topology.with_links({});
  const int links = topology.links_per_chip();
  std::set<Arrival> sent, received;
  std::vector<std::string> faults;
  for (int chip = 0; chip < static_cast<int>(programs.size()); ++chip) {
    const Program& program = programs[static_cast<std::size_t>(chip)];
    const std::int64_t start = starts.empty() ? 0 : starts[static_cast<std::size_t>(chip)];
    const auto first_queue = program.queues.size() - static_cast<std::size_t>(links);
    for (int link = 0; link < links; ++link) {
      const QueueProgram& words = program.queues[first_queue + static_cast<std::size_t>(link)];
      visit_issues(
          words, link, release_of(program, latencies),
          [&](const Instruction& word, std::int64_t cycle) {
            if (word.op == Opcode::Recv) received.insert({chip, link, start + cycle});
            if (word.op != Opcode::Send) return;
            const Port to = topology.peer(chip, link);
            if (to.connected()) {
              sent.insert({to.chip, to.link, start + cycle + geometry.link_class(link).latency});
            } else {
              faults.push_back(
                  fmt::format("chip {} link {}: a send over an open port in "
                              "cycle {}",
                              chip, link, start + cycle));
            }
          });
    }
  }
  for (const auto& [chip, link, cycle] : sent) {
    if (received.contains({chip, link, cycle})) continue;
    faults.push_back(fmt::format("chip {} link {}: nobody receives what arrives in cycle {}", chip,
                                 link, cycle));
  }
  for (const auto& [chip, link, cycle] : received) {
    if (sent.contains({chip, link, cycle})) continue;
    faults.push_back(
        fmt::format("chip {} link {}: nothing arrives in cycle {}", chip, link, cycle));
  }
  return faults;
}

}  // namespace tandem::lpu
