// What each unit does with one instruction: MEM, VXM, MXM, C2C. The SXM is in machine_sxm.cpp.
#include <fmt/format.h>

#include <algorithm>

#include "models/lpu/machine_core.hpp"

namespace tandem::lpu {

const std::uint8_t* Machine::Core::consume(StreamRef stream, int position, std::int64_t cycle) {
  const std::uint8_t* bytes = nullptr;
  if (!streams_.consume(stream, position, cycle, bytes)) {
    fail("H4", fmt::format("stream {} holds no vector at position {} in cycle {}", name_of(stream),
                           position, cycle));
  }
  return functional_ && powered_ < geometry_.superlanes ? powered_part(bytes) : bytes;
}

std::uint8_t* Machine::Core::produce(StreamRef stream, int position, std::int64_t cycle) {
  std::uint8_t* bytes = nullptr;
  if (!streams_.produce(stream, position, cycle, bytes)) {
    fail("H3", fmt::format("stream {} at position {} gets two vectors in cycle {}", name_of(stream),
                           position, cycle));
  }
  if (functional_ && powered_ < geometry_.superlanes) produced_.push_back(bytes);
  return bytes;
}

void Machine::Core::consume_group(StreamRef first, int streams, int position, std::int64_t cycle) {
  if (!functional_ && streams_.held(first, streams, position, cycle) == streams) return;
  for (int i = 0; i < streams; ++i) {
    const StreamRef stream{first.direction, static_cast<std::uint16_t>(first.id + i)};
    in_[static_cast<std::size_t>(i)] = consume(stream, position, cycle);
  }
}

void Machine::Core::produce_group(StreamRef first, int streams, int position, std::int64_t cycle) {
  for (int i = 0; i < streams; ++i) {
    const StreamRef stream{first.direction, static_cast<std::uint16_t>(first.id + i)};
    out_[static_cast<std::size_t>(i)] = produce(stream, position, cycle);
  }
}

int Machine::Core::row_of(const MemAccess& access, const Issue& issue) const {
  if (access.reg != 0 && !walks_[static_cast<std::size_t>(queue_)].released()) {
    fail("H10", "a host register is used before the first Sync of the queue");
  }
  const std::int64_t row = access.row + issue.row_offset + live_registers_[access.reg] +
                           (access.generated ? issue.generated : 0);
  if (row < 0 || row >= geometry_.rows_per_bank) {
    fail("H8", fmt::format("row {} of bank {} is outside the {} rows of a bank", row, access.bank,
                           geometry_.rows_per_bank));
  }
  return static_cast<int>(row);
}

void Machine::Core::take_bank(int bank, std::int64_t cycle) {
  if (!sram_.occupy(queue_, bank, cycle)) {
    fail("H2", fmt::format("bank {} is accessed twice in cycle {}", bank, cycle));
  }
}

void Machine::Core::check_readable(int bank, int row, std::int64_t cycle) {
  if (!sram_.may_read(queue_, bank, row, cycle)) {
    fail("H9", fmt::format("row {} of bank {} is read in cycle {}, too soon after its write", row,
                           bank, cycle));
  }
}

// Reads come first: they see the rows as they were before the writes of the same cycle.
void Machine::Core::execute_mem(const Issue& issue) {
  using Kind = MemAccess::Kind;
  for (const MemAccess& access : issue.instruction->access) {
    if (access.kind == Kind::Read) read_row_to_stream(access, issue);
    if (access.kind == Kind::Gather) gather(access, issue);
  }
  for (const MemAccess& access : issue.instruction->access) {
    if (access.kind == Kind::Write) write_stream_to_row(access, issue);
    if (access.kind == Kind::Scatter) scatter(access, issue);
  }
}

void Machine::Core::read_row_to_stream(const MemAccess& access, const Issue& issue) {
  const int row = row_of(access, issue);
  take_bank(access.bank, issue.cycle);
  check_readable(access.bank, row, issue.cycle);
  counts_.mem_reads += powered_;
  std::uint8_t* out = produce(access.stream, position(), issue.cycle + latency_.mem_read);
  if (!functional_) return;
  const std::uint8_t* bytes = sram_.row(queue_, access.bank, row);
  if (bytes == nullptr) {
    std::fill_n(out, sram_.row_bytes(), std::uint8_t{0});
  } else {
    std::copy_n(bytes, sram_.row_bytes(), out);
  }
}

namespace {

bool only_reads(const Instruction& word) {
  using Kind = MemAccess::Kind;
  if (word.op != Opcode::Mem) return false;
  for (const MemAccess& access : word.access) {
    if (access.generated || (access.kind != Kind::None && access.kind != Kind::Read)) return false;
  }
  return true;
}

}  // namespace

// What a slice reads depends on its own queue alone, and a vector put on a stream early meets
// nobody before its cycle: such issues need not wait for their turn.
void Machine::Core::read_ahead(int queue, std::int64_t limit) {
  QueueWalk& walk = walks_[static_cast<std::size_t>(queue)];
  queue_ = queue;
  while (walk.state() == QueueWalk::State::Ready && walk.issue().cycle < limit &&
         only_reads(*walk.issue().instruction)) {
    const Issue issue = walk.issue();
    const Instruction* repeat = walk.repeats_left() > 0 ? &walk.repeat() : nullptr;
    std::int64_t count = 1;
    if (repeat != nullptr) {
      count += std::min(walk.repeats_left(), (limit - 1 - issue.cycle) / repeat->interval);
    }
    cycle_ = issue.cycle;
    for (const MemAccess& access : issue.instruction->access) {
      if (access.kind != MemAccess::Kind::None) read_run(access, issue, count, repeat);
    }
    counts_.instructions += count;
    if (count > 1) walk.advance_repeat(count - 1);
    last_issue_ = std::max(last_issue_, walk.issue().cycle);
    walk.advance();
  }
}

// `count` timed reads, `repeat` apart.
void Machine::Core::read_run(const MemAccess& access, const Issue& issue, std::int64_t count,
                             const Instruction* repeat) {
  const std::int64_t interval = repeat == nullptr ? 1 : repeat->interval;
  Issue last = issue;
  last.cycle += (count - 1) * interval;
  if (repeat != nullptr) last.row_offset += (count - 1) * repeat->stride;
  int row = row_of(access, issue);
  (void)row_of(access, last);
  take_bank(access.bank, issue.cycle);
  if (count > 1) take_bank(access.bank, last.cycle);
  if (!sram_.settled(queue_, access.bank, issue.cycle)) {
    for (std::int64_t i = 0; i < count; ++i) {
      check_readable(access.bank, row, issue.cycle + i * interval);
      if (repeat != nullptr) row += repeat->stride;
    }
  }
  const std::int64_t first = issue.cycle + latency_.mem_read;
  const std::int64_t done = streams_.produce_run(access.stream, position(), first, count, interval);
  if (done < count) (void)produce(access.stream, position(), first + done * interval);
  counts_.mem_reads += count * powered_;
}

void Machine::Core::write_stream_to_row(const MemAccess& access, const Issue& issue) {
  const int row = row_of(access, issue);
  take_bank(access.bank, issue.cycle);
  counts_.mem_writes += powered_;
  const std::uint8_t* bytes = consume(access.stream, position(), issue.cycle);
  sram_.note_write(queue_, access.bank, row, issue.cycle + latency_.mem_write_to_read);
  if (!functional_) return;
  std::copy_n(bytes, powered_lanes(), sram_.row_to_write(queue_, access.bank, row));
}

// The row of one superlane: the map pair is in in_[0] (low bytes) and in_[1] (high bytes).
int Machine::Core::mapped_row(int base, int superlane, const MemAccess& access) const {
  const auto lane = static_cast<std::size_t>(superlane * geometry_.lanes_per_superlane);
  const int row = base + in_[0][lane] + 256 * in_[1][lane];
  if (row >= geometry_.rows_per_bank) {
    fail("H8",
         fmt::format("map {} sends superlane {} to row {} of bank {}, outside its {} rows",
                     name_of(access.map), superlane, row, access.bank, geometry_.rows_per_bank));
  }
  return row;
}

void Machine::Core::gather(const MemAccess& access, const Issue& issue) {
  const int base = row_of(access, issue);
  for (int bank = 0; bank < geometry_.banks; ++bank) take_bank(bank, issue.cycle + 1);
  consume_group(access.map, 2, position(), issue.cycle);
  counts_.mem_reads += powered_;
  std::uint8_t* out = produce(access.stream, position(), issue.cycle + latency_.mem_gather);
  if (!functional_) return;
  const auto lanes = static_cast<std::size_t>(geometry_.lanes_per_superlane);
  for (int superlane = 0; superlane < powered_; ++superlane) {
    const int row = mapped_row(base, superlane, access);
    check_readable(access.bank, row, issue.cycle + 1);
    const std::size_t first = static_cast<std::size_t>(superlane) * lanes;
    const std::uint8_t* bytes = sram_.row(queue_, access.bank, row);
    for (std::size_t lane = first; lane < first + lanes; ++lane) {
      out[lane] = bytes == nullptr ? std::uint8_t{0} : bytes[lane];
    }
  }
}

void Machine::Core::scatter(const MemAccess& access, const Issue& issue) {
  const int base = row_of(access, issue);
  for (int bank = 0; bank < geometry_.banks; ++bank) take_bank(bank, issue.cycle + 1);
  consume_group(access.map, 2, position(), issue.cycle);
  const std::uint8_t* data = consume(access.stream, position(), issue.cycle);
  counts_.mem_writes += powered_;
  if (!functional_) return;
  const auto lanes = static_cast<std::size_t>(geometry_.lanes_per_superlane);
  for (int superlane = 0; superlane < powered_; ++superlane) {
    const int row = mapped_row(base, superlane, access);
    const std::size_t first = static_cast<std::size_t>(superlane) * lanes;
    std::copy_n(data + first, lanes, sram_.row_to_write(queue_, access.bank, row) + first);
    sram_.note_write(queue_, access.bank, row, issue.cycle + latency_.mem_gather);
  }
}

std::span<const std::uint32_t> Machine::Core::alu_register(int alu, std::int64_t cycle) {
  if (!alus_.holds_value(alu, cycle)) {
    fail("H4", fmt::format("the output register of ALU {} holds nothing yet", alu));
  }
  return alus_.value(alu);
}

std::span<const std::uint32_t> Machine::Core::alu_operand(const AluOperand& operand,
                                                          const Issue& issue, LaneValues& space) {
  const Instruction& instruction = *issue.instruction;
  switch (operand.kind) {
    case AluOperand::Kind::None:
      return {};
    case AluOperand::Kind::Alu:
      return alu_register(operand.alu, issue.cycle);
    case AluOperand::Kind::Immediate:
      std::fill(space.begin(), space.end(), instruction.immediate);
      return space;
    case AluOperand::Kind::Stream:
      break;
  }
  const int width =
      streams_of(instruction.alu_op == AluOp::Convert ? instruction.from : instruction.type);
  consume_group(operand.stream, width, geometry_.vxm_position(), issue.cycle);
  if (functional_) join_bytes({in_.data(), static_cast<std::size_t>(width)}, space);
  return space;
}

void Machine::Core::execute_alu(const Issue& issue) {
  const Instruction& instruction = *issue.instruction;
  const int alu = queue_ - geometry_.vxm_queue(0);
  counts_.vxm_ops += powered_;
  const auto x = alu_operand(instruction.x, issue, x_);
  const auto y = alu_operand(instruction.y, issue, y_);
  std::span<const std::uint32_t> own;
  if (instruction.alu_op == AluOp::Select) own = alu_register(alu, issue.cycle);
  const bool accumulates =
      instruction.alu_op == AluOp::AccAdd || instruction.alu_op == AluOp::AccMax;
  if (accumulates && !alus_.started(alu)) fail("H4", "a running value is used before acc_clear");
  if (instruction.alu_op == AluOp::AccClear) alus_.started(alu) = true;
  if (functional_) {
    apply_alu(instruction, x, y, own, alus_.running(alu), result_);
    for (LaneValues* values : {&result_, &alus_.running(alu)}) {
      std::fill(values->begin() + static_cast<std::ptrdiff_t>(powered_lanes()), values->end(), 0U);
    }
  }
  const std::int64_t landing =
      issue.cycle + (is_special(instruction.alu_op) ? latency_.vxm_special : latency_.vxm_simple);
  if (!alus_.land(alu, landing, result_)) {
    fail("H3", fmt::format("two results land in ALU {} in cycle {}", alu, landing));
  }
  if (!instruction.has_out) return;
  const int width = streams_of(instruction.type);
  produce_group(instruction.out, width, geometry_.vxm_position(), landing);
  if (functional_) spread_bytes(result_, {out_.data(), static_cast<std::size_t>(width)});
}

void Machine::Core::execute_matrix(const Issue& issue) {
  const Instruction& instruction = *issue.instruction;
  const auto operands = [&](int streams) {
    consume_group(instruction.in, streams, position(), issue.cycle);
    return std::span<const std::uint8_t* const>(in_.data(), static_cast<std::size_t>(streams));
  };
  const char* wrong = nullptr;
  std::span<const std::uint32_t> values;
  switch (instruction.op) {
    case Opcode::LoadWeights:
      counts_.weight_vectors += std::int64_t{geometry_.weight_streams_per_plane} * powered_;
      planes_.load(instruction, issue.cycle, operands(geometry_.weight_streams_per_plane));
      break;
    case Opcode::InstallWeights:
      wrong = planes_.install(instruction.plane, issue.cycle);
      break;
    case Opcode::Activate: {
      const int width = streams_of(instruction.type);
      const std::int64_t terms = geometry_.plane_rows / width;
      counts_.mxm_macs += instruction.halves * terms * geometry_.plane_columns * powered_ *
                          powered_ / (geometry_.superlanes * geometry_.superlanes);
      wrong = planes_.activate(instruction, issue.cycle, operands(width));
      break;
    }
    default:
      wrong = planes_.emit(instruction, issue.cycle, values);
  }
  if (wrong != nullptr) fail("H5", fmt::format("plane {}: {}", instruction.plane, wrong));
  if (instruction.op != Opcode::Emit) return;
  produce_group(instruction.out, 4, position(), issue.cycle);
  if (!functional_) return;
  std::copy(values.begin(), values.end(), result_.begin());
  spread_bytes(result_, {out_.data(), 4});
}

}  // namespace tandem::lpu
