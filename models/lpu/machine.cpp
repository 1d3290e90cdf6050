#include "models/lpu/machine.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "models/lpu/machine_core.hpp"

namespace tandem::lpu {
namespace {

int longest_latency(const LatencyTable& t) {
  return std::max({t.mem_read, t.mem_gather, t.vxm_simple, t.vxm_special, t.sxm_cross,
                   t.sxm_distribute, t.sxm_transpose, t.sxm_rotate});
}

const LatencyTable& checked(const LatencyTable& t) {
  for (const int cycles :
       {t.mem_read, t.mem_write_to_read, t.mem_gather, t.vxm_simple, t.vxm_special, t.mxm_load,
        t.mxm_install, t.mxm_result, t.sxm_cross, t.sxm_distribute, t.sxm_transpose, t.sxm_rotate,
        t.icu_fetch, t.barrier}) {
    if (cycles < 1) throw ModelError("lpu.machine: a latency is below 1 cycle");
  }
  constexpr int pipeline = static_cast<int>(AluRegisters::in_flight);
  if (std::max(t.vxm_simple, t.vxm_special) >= pipeline) {
    throw ModelError(fmt::format("lpu.machine: a VXM latency of {} cycles or more", pipeline));
  }
  return t;
}

bool is_regular(const Program& program) {
  return std::none_of(program.queues.begin(), program.queues.end(), [](const QueueProgram& words) {
    return std::any_of(words.begin(), words.end(), [](const Instruction& word) {
      return word.op == Opcode::Config || word.op == Opcode::Flag;
    });
  });
}

}  // namespace

Machine::Core::Core(const Geometry& geometry, const LatencyTable& latency, bool functional)
    : geometry_(geometry),
      latency_(checked(latency)),
      functional_(functional),
      sram_(geometry),
      streams_(geometry, longest_latency(latency), functional),
      alus_(geometry, functional),
      planes_(geometry, latency, functional),
      mem_queues_(geometry.mem_slices()),
      wheel_(geometry.queue_count()),
      link_free_(static_cast<std::size_t>(geometry.link_count())),
      arrivals_(static_cast<std::size_t>(geometry.link_count())) {
  if (static_cast<std::size_t>(geometry.weight_streams_per_plane) > widest_group) {
    throw ModelError("lpu.machine: more weight streams than the machine holds");
  }
  for (int queue = 0; queue < geometry.queue_count(); ++queue) {
    positions_.push_back(geometry.queue_position(queue));
  }
  const auto lanes = functional ? static_cast<std::size_t>(geometry.lanes()) : 0;
  for (LaneValues* values : {&x_, &y_, &result_}) values->resize(lanes);
}

void Machine::Core::fail(const char* rule, const std::string& message) const {
  throw ScheduleError(rule, queue_, cycle_,
                      fmt::format("lpu {} at cycle {}: {}: {}", geometry_.queue_name(queue_),
                                  cycle_, rule, message));
}

void Machine::Core::load(const Program& program, std::span<const MemoryImageRow> rows) {
  if (static_cast<int>(program.queues.size()) != geometry_.queue_count()) {
    throw ModelError(fmt::format("lpu.machine: a program of {} queues for a chip with {}",
                                 program.queues.size(), geometry_.queue_count()));
  }
  cycle_ = 0;
  for (queue_ = 0; queue_ < geometry_.queue_count(); ++queue_) {
    for (const Instruction& instruction : program.queues[static_cast<std::size_t>(queue_)]) {
      const auto bad = find_illegality(instruction, queue_, geometry_, program.maps);
      if (bad) fail(bad->rule.c_str(), bad->message);
    }
  }
  check_capacity(program);
  check_flags(program);
  regular_ = is_regular(program);
  program_ = program;
  loaded_ = true;
  registers_ = {};
  for (const MemoryImageRow& row : rows) write_row(row.slice, row.bank, row.row, row.bytes);
}

// Data and the instructions of all queues share the SRAM.
void Machine::Core::check_capacity(const Program& program) {
  std::size_t bytes = 0;
  for (const QueueProgram& words : program.queues) bytes += words.size() * instruction_bytes;
  for (std::size_t i = 0; i < program.rows_used.size(); ++i) {
    queue_ = static_cast<int>(i) / geometry_.banks;
    bytes += program.rows_used[i] * sram_.row_bytes();
    if (program.rows_used[i] > geometry_.rows_per_bank) {
      fail("H8", fmt::format("{} rows of data in a bank", program.rows_used[i]));
    }
  }
  if (bytes > static_cast<std::size_t>(geometry_.sram().count())) {
    fail("H8", fmt::format("data and instructions take {} bytes", bytes));
  }
}

// What the vector unit computes must not decide how often a loop runs.
void Machine::Core::check_flags(const Program& program) {
  std::array<bool, host_registers> flagged{};
  for (const QueueProgram& words : program.queues) {
    for (const Instruction& word : words) flagged[word.reg] |= word.op == Opcode::Flag;
  }
  for (queue_ = 0; queue_ < geometry_.queue_count(); ++queue_) {
    for (const Instruction& word : program.queues[static_cast<std::size_t>(queue_)]) {
      if (word.op != Opcode::LoopReg || !flagged[word.reg]) continue;
      fail("H10", fmt::format("loops count by register {}, which a flag sets", word.reg));
    }
  }
}

void Machine::Core::check_row_address(int slice, int bank, int row) const {
  if (slice < 0 || slice >= geometry_.mem_slices() || bank < 0 || bank >= geometry_.banks ||
      row < 0 || row >= geometry_.rows_per_bank) {
    throw ModelError(
        fmt::format("lpu.machine: no slice {} bank {} row {} on the chip", slice, bank, row));
  }
}

void Machine::Core::write_row(int slice, int bank, int row, std::span<const std::uint8_t> bytes) {
  check_row_address(slice, bank, row);
  if (bytes.size() != sram_.row_bytes()) {
    throw ModelError(fmt::format("lpu.machine: a row of {} bytes; a vector has {}", bytes.size(),
                                 sram_.row_bytes()));
  }
  if (functional_) std::copy(bytes.begin(), bytes.end(), sram_.row_to_write(slice, bank, row));
}

std::vector<std::uint8_t> Machine::Core::read_row(int slice, int bank, int row) const {
  check_row_address(slice, bank, row);
  const std::uint8_t* bytes = sram_.row(slice, bank, row);
  if (bytes == nullptr) return std::vector<std::uint8_t>(sram_.row_bytes());
  return {bytes, bytes + sram_.row_bytes()};
}

void Machine::Core::set_register(int index, std::uint16_t value) {
  if (index < 1 || index >= host_registers) {
    throw ModelError(fmt::format("lpu.machine: the host cannot set register {}", index));
  }
  const std::uint16_t limit = program_.register_limits[static_cast<std::size_t>(index)];
  if (value > limit) {
    throw ModelError(fmt::format("lpu.machine: register {} set to {}; the program allows up to {}",
                                 index, value, limit));
  }
  registers_[static_cast<std::size_t>(index)] = value;
}

void Machine::Core::schedule(std::size_t queue) {
  const QueueWalk& walk = walks_[queue];
  switch (walk.state()) {
    case QueueWalk::State::Finished:
      return;
    case QueueWalk::State::Parked:
      parked_.push_back(queue);
      return;
    case QueueWalk::State::Ready: {
      // Emit and Recv fill their cells in the cycle of issue, so they go before its readers.
      const Opcode op = walk.issue().instruction->op;
      const bool first = op == Opcode::Emit || op == Opcode::Recv;
      wheel_.push(walk.issue().cycle, !first, static_cast<int>(queue));
    }
  }
}

void Machine::Core::release_parked(std::int64_t cycle) {
  live_registers_ = flagged_registers_;
  std::vector<std::size_t> waiting;
  waiting.swap(parked_);
  for (const std::size_t queue : waiting) {
    if (walks_[queue].parked_at() <= cycle) walks_[queue].resume(cycle);
    schedule(queue);
  }
}

void Machine::Core::begin(const RunTimeline& timeline) {
  if (!loaded_) throw ModelError("lpu.machine: run without a program");
  streams_.clear();
  alus_.clear();
  planes_.clear();
  sram_.start_run();
  std::fill(link_free_.begin(), link_free_.end(), 0);
  for (auto& queue : arrivals_) queue.clear();
  counts_ = {};
  outbound_.clear();
  reads_ahead_ = false;
  wheel_.clear();
  releases_.clear();
  parked_.clear();
  walks_.clear();
  last_issue_ = first_notify_ = -1;
  timeline_ = timeline;
  tracks_.assign(program_.queues.size(), std::nullopt);
  live_registers_ = flagged_registers_ = registers_;
  powered_ = next_powered_ = geometry_.superlanes;
  powered_until_ = INT64_MAX;
  produced_.clear();
  masked_used_ = 0;
  streams_.set_superlanes(powered_);
  walks_.reserve(program_.queues.size());
  for (std::size_t queue = 0; queue < program_.queues.size(); ++queue) {
    const int index = static_cast<int>(queue);
    walks_.emplace_back(program_.queues[queue], live_registers_, index, geometry_.queue_name(index),
                        walk_settings(program_, index, geometry_, latency_.icu_fetch));
    schedule(queue);
  }
}

void Machine::Core::deliver(const LinkVector& vector) {
  if (vector.link < 0 || vector.link >= geometry_.link_count()) {
    throw ModelError(fmt::format("lpu.machine: a vector arrives on link {}", vector.link));
  }
  if (functional_ && vector.bytes.size() != sram_.row_bytes()) {
    throw ModelError(fmt::format("lpu.machine: a vector of {} bytes arrives on link {}",
                                 vector.bytes.size(), vector.link));
  }
  // A link gives vectors in the order of their arrival, whoever sent them.
  auto& arrivals = arrivals_[static_cast<std::size_t>(vector.link)];
  const auto later = std::upper_bound(
      arrivals.begin(), arrivals.end(), vector.cycle,
      [](std::int64_t cycle, const LinkVector& other) { return cycle < other.cycle; });
  arrivals.insert(later, vector);
}

bool Machine::Core::advance(std::int64_t until) {
  for (;;) {
    const std::int64_t release = releases_.empty() ? INT64_MAX : releases_.front();
    const std::int64_t cycle = wheel_.next_cycle(std::min(release, until));
    if (cycle >= until) return !releases_.empty() || !wheel_.empty();
    if (cycle == release) {
      releases_.pop_front();
      release_parked(cycle);
      continue;
    }
    for (int queue = wheel_.pop(); queue >= 0; queue = wheel_.pop()) {
      const auto index = static_cast<std::size_t>(queue);
      QueueWalk& walk = walks_[index];
      execute(queue, walk.issue());
      if (timeline_.recorder != nullptr) record(queue, walk.issue());
      walk.advance();
      if (reads_ahead_ && queue < mem_queues_) read_ahead(queue, cycle + streams_.lookahead());
      schedule(index);
    }
  }
}

// Reads ahead of time find the same faults, but not the first one first: a faulty run starts again
// in strict order.
RunResult Machine::Core::run(std::span<const LinkVector> inbound, const RunTimeline& timeline) {
  const auto run_once = [&] {
    for (const LinkVector& vector : inbound) deliver(vector);
    advance(INT64_MAX);
    return finish();
  };
  begin(timeline);
  reads_ahead_ = regular_ && !functional_ && timeline.recorder == nullptr;
  try {
    return run_once();
  } catch (const ScheduleError&) {
    if (!reads_ahead_) throw;
    begin(timeline);
    return run_once();
  }
}

void Machine::Core::execute(int queue, const Issue& issue) {
  queue_ = queue;
  cycle_ = issue.cycle;
  last_issue_ = std::max(last_issue_, issue.cycle + queue_cycles(*issue.instruction) - 1);
  ++counts_.instructions;
  if (issue.cycle > powered_until_) switch_power();
  execute_on_unit(issue);
  if (functional_ && powered_ < geometry_.superlanes) clear_unpowered();
}

void Machine::Core::execute_on_unit(const Issue& issue) {
  switch (issue.instruction->op) {
    case Opcode::Notify:
      if (first_notify_ < 0) first_notify_ = issue.cycle;
      releases_.push_back(issue.cycle + latency_.barrier);
      return;
    case Opcode::Mem:
      return execute_mem(issue);
    case Opcode::Alu:
      return execute_alu(issue);
    case Opcode::LoadWeights:
    case Opcode::InstallWeights:
    case Opcode::Activate:
    case Opcode::Emit:
      return execute_matrix(issue);
    case Opcode::Send:
    case Opcode::Recv:
    case Opcode::Transmit:
      return execute_link(issue);
    case Opcode::Ifetch:
      return fetch(issue);
    case Opcode::Flag:
      return set_flag(issue);
    case Opcode::AGen:
      return;
    case Opcode::Config:
      powered_until_ = issue.cycle;
      next_powered_ = issue.instruction->count;
      return;
    default:
      return execute_switch(issue);
  }
}

// Queues that wait for ever, vectors that nobody took.
void Machine::Core::check_end() {
  for (const std::size_t queue : parked_) {
    const QueueProgram& words = program_.queues[queue];
    if (walks_[queue].at_last_word()) continue;
    queue_ = static_cast<int>(queue);
    cycle_ = walks_[queue].parked_at();
    fail("H10",
         fmt::format("parked at Sync and never released ({} words in the queue)", words.size()));
  }
  for (std::size_t link = 0; link < arrivals_.size(); ++link) {
    if (arrivals_[link].empty()) continue;
    queue_ = geometry_.c2c_queue(static_cast<int>(link));
    cycle_ = arrivals_[link].front().cycle;
    fail("H6", fmt::format("the vector that arrives on link {} is never received", link));
  }
}

RunResult Machine::Core::finish() {
  check_end();
  RunResult result;
  if (last_issue_ >= 0) {
    result.cycles = last_issue_ - std::max<std::int64_t>(first_notify_, 0) + geometry_.superlanes;
  }
  const std::int64_t all = geometry_.superlanes;
  result.counts = {{"mem_reads", counts_.mem_reads / all},
                   {"mem_writes", counts_.mem_writes / all},
                   {"stream_vector_hops", streams_.superlane_hops() / all},
                   {"mxm_macs", counts_.mxm_macs},
                   {"weight_vectors_installed", counts_.weight_vectors / all},
                   {"vxm_ops", counts_.vxm_ops / all},
                   {"sxm_ops", counts_.sxm_ops / all},
                   {"c2c_vectors", counts_.c2c_vectors},
                   {"instructions", counts_.instructions}};
  result.outbound = std::move(outbound_);
  return result;
}

void Machine::Core::record(int queue, const Issue& issue) {
  auto& track = tracks_[static_cast<std::size_t>(queue)];
  if (!track) track = timeline_.recorder->track(timeline_.group, geometry_.queue_name(queue));
  const Instruction& instruction = *issue.instruction;
  const auto label =
      instruction.op == Opcode::Alu ? name_of(instruction.alu_op) : name_of(instruction.op);
  const ClockDomain clock(geometry_.clock);
  timeline_.recorder->span(
      *track, label, timeline_.start + clock.time_of(Cycles(issue.cycle)),
      timeline_.start + clock.time_of(Cycles(issue.cycle + queue_cycles(instruction))));
}

}  // namespace tandem::lpu
