#include "models/lpu/verifier.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "models/lpu/verifier_pass.hpp"

namespace tandem::lpu {
namespace {

constexpr std::size_t most_violations = 100;

// SRAM holds data and the instructions of all queues.
void check_capacity(const Program& program, const Geometry& geometry,
                    std::vector<Violation>& found) {
  std::int64_t bytes = 0;
  for (const QueueProgram& queue : program.queues) {
    bytes += static_cast<std::int64_t>(queue.size()) * instruction_bytes;
  }
  for (std::size_t i = 0; i < program.rows_used.size(); ++i) {
    const int rows = program.rows_used[i];
    bytes += std::int64_t{rows} * geometry.vector_bytes();
    if (rows <= geometry.rows_per_bank) continue;
    const auto slice = static_cast<int>(i) / geometry.banks;
    found.push_back({"H8", geometry.queue_name(geometry.mem_queue(slice)), 0,
                     fmt::format("bank {}", static_cast<int>(i) % geometry.banks),
                     fmt::format("{} rows of data; a bank has {}", rows, geometry.rows_per_bank)});
  }
  if (bytes > geometry.sram().count()) {
    found.push_back({"H8", "all", 0, "SRAM",
                     fmt::format("data and instructions take {} bytes; the chip has {}", bytes,
                                 geometry.sram().count())});
  }
}

// Registers that decide what is issued: loops count by the first, Select chooses by the second.
struct DecidingRegisters {
  std::set<std::uint16_t> loops;
  std::map<std::uint16_t, std::uint16_t> selects;  // with the fewest blocks of any Select
  std::set<std::uint16_t> flags;
};

DecidingRegisters deciding_registers(const Program& program) {
  DecidingRegisters result;
  for (const QueueProgram& queue : program.queues) {
    for (const Instruction& word : queue) {
      if (word.op == Opcode::LoopReg) result.loops.insert(word.reg);
      if (word.op == Opcode::Flag) result.flags.insert(word.reg);
      if (word.op != Opcode::Select) continue;
      const auto known = result.selects.emplace(word.reg, word.count).first;
      known->second = std::min(known->second, word.count);
    }
  }
  return result;
}

void check_deciding_registers(const Program& program, std::vector<Violation>& found) {
  const DecidingRegisters registers = deciding_registers(program);
  for (const auto& [reg, blocks] : registers.selects) {
    if (program.register_limits[reg] < blocks) continue;
    found.push_back({"H10", "all", 0, fmt::format("register r{}", reg),
                     fmt::format("selects among {} blocks and may be {}", blocks,
                                 program.register_limits[reg])});
  }
  for (const auto reg : registers.flags) {
    if (!registers.loops.contains(reg)) continue;
    found.push_back({"H10", "all", 0, fmt::format("register r{}", reg),
                     "loops count by a register that a flag sets"});
  }
}

// Where some queues wait for a Notify first, one that does not wait runs ahead of them: what it
// does without an operand, such as Transmit, then happens in another cycle than was meant.
void check_start(const Program& program, const Geometry& geometry, std::vector<Violation>& found) {
  const auto waits = [](const QueueProgram& queue) {
    return queue.front().op == Opcode::Sync || queue.front().op == Opcode::Notify;
  };
  const bool any_waits = std::ranges::any_of(
      program.queues, [&](const QueueProgram& queue) { return !queue.empty() && waits(queue); });
  for (std::size_t queue = 0; queue < program.queues.size() && any_waits; ++queue) {
    if (program.queues[queue].empty() || waits(program.queues[queue])) continue;
    found.push_back({"H10", geometry.queue_name(static_cast<int>(queue)), 0, "sync",
                     "the queue does not wait for the start as others do"});
  }
}

std::vector<HostRegisters> register_choices(const Program& program) {
  constexpr std::uint16_t most_blocks = 64;
  const DecidingRegisters registers = deciding_registers(program);
  std::uint16_t blocks = 1;
  for (const auto& [reg, count] : registers.selects) blocks = std::max(blocks, count);
  std::vector<HostRegisters> choices;
  for (std::uint16_t block = 0; block < std::min(blocks, most_blocks); ++block) {
    for (const std::uint16_t loops :
         {std::uint16_t{UINT16_MAX}, std::uint16_t{0}, std::uint16_t{1}}) {
      HostRegisters counts = program.register_limits;
      for (const auto reg : registers.loops) counts[reg] = std::min(counts[reg], loops);
      for (const auto& [reg, count] : registers.selects) {
        counts[reg] = std::min({counts[reg], block, static_cast<std::uint16_t>(count - 1)});
      }
      if (std::find(choices.begin(), choices.end(), counts) == choices.end()) {
        choices.push_back(counts);
      }
    }
  }
  return choices;
}

}  // namespace

std::string format_violation(const Violation& v) {
  return fmt::format("{} {} at cycle {}, {}: {}", v.rule, v.queue, v.cycle, v.resource, v.message);
}

std::vector<Violation> verify(const Program& program, const Geometry& geometry,
                              const LatencyTable& latency) {
  std::vector<Violation> found;
  if (static_cast<int>(program.queues.size()) != geometry.queue_count()) {
    return {
        {"ISA", "all", 0, "queues",
         fmt::format("{} queues; the chip has {}", program.queues.size(), geometry.queue_count())}};
  }
  check_capacity(program, geometry, found);
  check_deciding_registers(program, found);
  check_start(program, geometry, found);
  for (const HostRegisters& counts : register_choices(program)) {
    for (Violation& violation : VerifierPass(program, geometry, latency, counts).run()) {
      if (std::find(found.begin(), found.end(), violation) == found.end()) {
        found.push_back(std::move(violation));
      }
    }
  }
  std::stable_sort(found.begin(), found.end(), [](const Violation& a, const Violation& b) {
    return a.cycle != b.cycle ? a.cycle < b.cycle : a.queue < b.queue;
  });
  if (found.size() > most_violations) found.resize(most_violations);
  return found;
}

// --- Walking the queues ---

VerifierPass::VerifierPass(const Program& program, const Geometry& geometry,
                           const LatencyTable& latency, const HostRegisters& loop_counts)
    : program_(program),
      geometry_(geometry),
      latency_(latency),
      loop_counts_(loop_counts),
      slices_(static_cast<std::size_t>(geometry.mem_slices())),
      planes_(static_cast<std::size_t>(geometry.planes)),
      register_filled_(static_cast<std::size_t>(geometry.vxm_alus), -1),
      running_started_(static_cast<std::size_t>(geometry.vxm_alus), false),
      link_next_(static_cast<std::size_t>(geometry.link_count())) {
  for (PlaneState& plane : planes_) {
    plane.accumulators.resize(static_cast<std::size_t>(geometry.accumulators));
  }
}

bool VerifierPass::full() const {
  return found_.size() >= most_violations;
}

void VerifierPass::add(const char* rule, int queue, std::int64_t cycle, std::string resource,
                       std::string message) {
  if (full()) return;
  found_.push_back(
      {rule, geometry_.queue_name(queue), cycle, std::move(resource), std::move(message)});
}

void VerifierPass::check_words() {
  for (std::size_t queue = 0; queue < program_.queues.size(); ++queue) {
    for (const Instruction& word : program_.queues[queue]) {
      auto bad = find_illegality(word, static_cast<int>(queue), geometry_, program_.maps);
      if (!bad) continue;
      if (is_queue_control(word.op)) {
        add(bad->rule.c_str(), static_cast<int>(queue), 0, std::string(name_of(word.op)),
            bad->message);
      } else {
        illegal_[&word] = std::move(*bad);
      }
    }
  }
}

void VerifierPass::check_register_use() {
  for (std::size_t queue = 0; queue < program_.queues.size(); ++queue) {
    bool synced = false;
    for (const Instruction& word : program_.queues[queue]) {
      if (word.op == Opcode::Sync) synced = true;
      if (synced) break;
      int reg = word.op == Opcode::LoopReg ? word.reg : 0;
      if (word.op == Opcode::Mem) reg = std::max(word.access[0].reg, word.access[1].reg);
      if (reg == 0) continue;
      add("H10", static_cast<int>(queue), 0, fmt::format("register r{}", reg),
          "a host register is used before the first Sync of its queue");
      break;
    }
  }
}

void VerifierPass::open_queues() {
  dead_.assign(program_.queues.size(), false);
  walks_.reserve(program_.queues.size());
  for (std::size_t queue = 0; queue < program_.queues.size(); ++queue) {
    const int index = static_cast<int>(queue);
    const std::string name = geometry_.queue_name(index);
    try {
      walks_.emplace_back(program_.queues[queue], loop_counts_, index, name,
                          walk_settings(program_, index, geometry_, latency_.icu_fetch));
    } catch (const ScheduleError& error) {
      add(error.rule().c_str(), index, error.cycle(), "queue", error.what());
      walks_.emplace_back(no_words_, loop_counts_, index, name);
    }
  }
}

bool VerifierPass::walk_queue(std::size_t queue, std::int64_t horizon) {
  QueueWalk& walk = walks_[queue];
  bool moved = false;
  try {
    while (!dead_[queue] && walk.state() == QueueWalk::State::Ready &&
           walk.issue().cycle < horizon && !full()) {
      visit(static_cast<int>(queue), walk.issue());
      moved = true;
      walk.advance();
    }
  } catch (const ScheduleError& error) {
    add(error.rule().c_str(), error.queue(), error.cycle(), "queue", error.what());
    dead_[queue] = true;
  }
  return moved;
}

// Lets the queues go on that are parked in the cycle of the earliest release before the horizon.
bool VerifierPass::release_earliest(std::int64_t horizon) {
  const auto earliest = std::min_element(releases_.begin(), releases_.end());
  if (earliest == releases_.end() || *earliest >= horizon) return false;
  const std::int64_t cycle = *earliest;
  releases_.erase(earliest);
  for (std::size_t queue = 0; queue < walks_.size(); ++queue) {
    QueueWalk& walk = walks_[queue];
    if (dead_[queue] || walk.state() != QueueWalk::State::Parked || walk.parked_at() > cycle) {
      continue;
    }
    try {
      walk.resume(cycle);
    } catch (const ScheduleError& error) {
      add(error.rule().c_str(), error.queue(), error.cycle(), "queue", error.what());
      dead_[queue] = true;
    }
  }
  return true;
}

void VerifierPass::walk_until(std::int64_t horizon) {
  do {
    for (std::size_t queue = 0; queue < walks_.size(); ++queue) walk_queue(queue, horizon);
  } while (release_earliest(horizon));
}

std::int64_t VerifierPass::next_cycle() const {
  std::int64_t next = INT64_MAX;
  for (std::size_t queue = 0; queue < walks_.size(); ++queue) {
    const QueueWalk& walk = walks_[queue];
    if (dead_[queue] || walk.state() != QueueWalk::State::Ready) continue;
    next = std::min(next, walk.issue().cycle);
  }
  for (const std::int64_t release : releases_) next = std::min(next, release);
  return next;
}

void VerifierPass::report_parked() {
  for (std::size_t queue = 0; queue < walks_.size(); ++queue) {
    const QueueWalk& walk = walks_[queue];
    if (dead_[queue] || walk.state() != QueueWalk::State::Parked || walk.at_last_word()) continue;
    add("H10", static_cast<int>(queue), walk.parked_at(), "sync",
        "the queue is parked at Sync and never released");
  }
}

std::vector<Violation> VerifierPass::run() {
  constexpr std::int64_t slice_cycles = 4096;
  check_words();
  check_register_use();
  open_queues();
  for (std::int64_t next = next_cycle(); next != INT64_MAX && !full(); next = next_cycle()) {
    const std::int64_t horizon = next + slice_cycles;
    walk_until(horizon);
    judge_streams(horizon);
    judge_registers(horizon);
    judge_planes();
  }
  judge_streams(INT64_MAX);
  judge_registers(INT64_MAX);
  report_parked();
  return std::move(found_);
}

}  // namespace tandem::lpu
