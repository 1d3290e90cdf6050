// What each unit does in one superlane, one cycle.
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "models/lpu/skew_core.hpp"
#include "sim/numerics/element.hpp"

namespace tandem::lpu {

void SkewMachine::Core::execute(int superlane, std::size_t event) {
  const Event& now = events_[event];
  queue_ = now.queue;
  cycle_ = now.issue.cycle;
  switch (now.issue.instruction->op) {
    case Opcode::Notify:
    case Opcode::AGen:
      return;
    case Opcode::Ifetch:
      (void)consume_group(superlane, now.issue.instruction->in, fetch_vectors);
      return;
    case Opcode::Mem:
      return execute_mem(superlane, now);
    case Opcode::Alu:
      return execute_alu(superlane, now);
    case Opcode::LoadWeights:
    case Opcode::InstallWeights:
    case Opcode::Activate:
    case Opcode::Emit:
      return execute_matrix(superlane, event);
    case Opcode::Send:
    case Opcode::Recv:
    case Opcode::Transmit:
      return execute_link(superlane, event);
    default:
      return execute_switch(superlane, event);
  }
}

void SkewMachine::Core::execute_mem(int superlane, const Event& event) {
  using Kind = MemAccess::Kind;
  for (const bool reads : {true, false}) {
    for (const MemAccess& access : event.issue.instruction->access) {
      const bool is_read = access.kind == Kind::Read || access.kind == Kind::Gather;
      if (access.kind == Kind::None || is_read != reads) continue;
      std::int64_t row = access.row + event.issue.row_offset + registers_[access.reg];
      if (access.generated) row += event.issue.generated;
      const bool mapped = access.kind == Kind::Gather || access.kind == Kind::Scatter;
      if (mapped) {
        const auto map = consume_group(superlane, access.map, 2);
        row += (*map[0])[0] + 256 * (*map[1])[0];
      }
      std::uint8_t* bytes = sram(event.queue, access.bank, row, superlane);
      if (is_read) {
        produce(superlane, access.stream, mapped ? latency_.mem_gather : latency_.mem_read,
                Bytes16(bytes, bytes + lanes()));
      } else {
        const Bytes16& data = consume(superlane, access.stream);
        std::copy(data.begin(), data.end(), bytes);
      }
    }
  }
}

void SkewMachine::Core::execute_alu(int superlane, const Event& event) {
  const Instruction& i = *event.issue.instruction;
  AluRegisters& alus = *tiles_[static_cast<std::size_t>(superlane)].alus;
  const int alu = event.queue - geometry_.vxm_queue(0);
  std::array<LaneValues, 2> values;
  for (std::size_t side = 0; side < 2; ++side) {
    const AluOperand& operand = side == 0 ? i.x : i.y;
    LaneValues& lane = values[side];
    if (operand.kind == AluOperand::Kind::None) continue;
    lane.assign(lanes(), i.immediate);
    if (operand.kind == AluOperand::Kind::Alu) {
      if (!alus.holds_value(operand.alu, cycle_)) fail("H4", "an output register holds nothing");
      const auto value = alus.value(operand.alu);
      lane.assign(value.begin(), value.end());
    } else if (operand.kind == AluOperand::Kind::Stream) {
      const int width = streams_of(i.alu_op == AluOp::Convert ? i.from : i.type);
      std::vector<const std::uint8_t*> bytes;
      for (const Bytes16* part : consume_group(superlane, operand.stream, width)) {
        bytes.push_back(part->data());
      }
      join_bytes(bytes, lane);
    }
  }
  std::span<const std::uint32_t> own;
  if (i.alu_op == AluOp::Select) {
    if (!alus.holds_value(alu, cycle_)) fail("H4", "an output register holds nothing");
    own = alus.value(alu);
  }
  LaneValues result(lanes());
  apply_alu(i, values[0], values[1], own, alus.running(alu), result);
  const int latency = is_special(i.alu_op) ? latency_.vxm_special : latency_.vxm_simple;
  if (!alus.land(alu, cycle_ + latency, result)) fail("H3", "two results land in an ALU");
  if (!i.has_out) return;
  for (int part = 0; part < streams_of(i.type); ++part) {
    Bytes16 bytes(lanes());
    for (std::size_t lane = 0; lane < lanes(); ++lane) {
      bytes[lane] = static_cast<std::uint8_t>(result[lane] >> (8 * part));
    }
    produce(superlane, {i.out.direction, static_cast<std::uint16_t>(i.out.id + part)}, latency,
            std::move(bytes));
  }
}

// Whatever crosses superlanes waits in an exchange until all have delivered.
void SkewMachine::Core::execute_switch(int superlane, std::size_t event) {
  const Instruction& i = *events_[event].issue.instruction;
  Exchange& exchange = exchanges_[event];
  exchange.instruction = &i;
  ++exchange.delivered;
  exchange.operands.resize(static_cast<std::size_t>(switch_inputs(i)));
  const auto operand = consume_group(superlane, i.in, switch_inputs(i));
  for (std::size_t part = 0; part < operand.size(); ++part) {
    exchange.operands[part].insert(exchange.operands[part].end(), operand[part]->begin(),
                                   operand[part]->end());
  }
  int latency = latency_.sxm_cross;
  if (i.op == Opcode::Distribute) latency = latency_.sxm_distribute;
  if (i.op == Opcode::Transpose16) latency = latency_.sxm_transpose;
  if (i.op == Opcode::Rotate) latency = latency_.sxm_rotate;
  for (int part = 0; part < switch_outputs(i); ++part) {
    produce(superlane, {i.out.direction, static_cast<std::uint16_t>(i.out.id + part)}, latency, {},
            event + 1, static_cast<std::size_t>(part));
  }
}

SkewMachine::Core::Bytes16 SkewMachine::Core::exchanged(const Exchange& exchange, int superlane,
                                                        std::size_t part) const {
  const Instruction& i = *exchange.instruction;
  Bytes16 out(lanes());
  const int per = geometry_.lanes_per_superlane;
  const int n = i.amount;
  for (int within = 0; within < per; ++within) {
    const int lane = superlane * per + within;
    std::size_t stream = part;
    int source = -1;
    if (i.op == Opcode::Shift) {
      source = lane - n;
    } else if (i.op == Opcode::Transpose16) {
      stream = static_cast<std::size_t>(within);
      source = superlane * per + static_cast<int>(part);
    } else if (i.op == Opcode::Rotate) {
      stream = 0;
      const int turn = static_cast<int>(part);
      const int row = (within / n + turn / n) % n, column = (within % n + turn % n) % n;
      if (within < n * n) source = superlane * per + n * row + column;
    } else {
      const bool inside = i.op == Opcode::Distribute;
      const int entry = program_.maps[i.map][static_cast<std::size_t>(inside ? within : lane)];
      if (entry == 0xffff) continue;
      source = inside ? superlane * per + entry : entry;
      if (i.op == Opcode::Sel3) source = lane + (entry == 0 ? 0 : (entry == 1 ? -n : n));
    }
    if (source < 0 || source >= geometry_.lanes()) continue;
    if (source / per >= exchange.delivered) fail("H4", "lanes of another superlane are not there");
    out[static_cast<std::size_t>(within)] =
        exchange.operands[stream][static_cast<std::size_t>(source)];
  }
  return out;
}

void SkewMachine::Core::execute_link(int superlane, std::size_t event) {
  const Instruction& i = *events_[event].issue.instruction;
  if (i.op == Opcode::Recv) {
    const auto found = inbound_.find({i.link, cycle_});
    if (found == inbound_.end()) fail("H6", fmt::format("no vector arrives on link {}", i.link));
    const auto first = found->second.begin() + superlane * geometry_.lanes_per_superlane;
    return produce(superlane, i.out, 0, Bytes16(first, first + geometry_.lanes_per_superlane));
  }
  LinkVector& vector = outbound_[event];
  vector.link = i.link;
  vector.cycle = cycle_;
  Bytes16 bytes(lanes());
  if (i.op == Opcode::Send) {
    bytes = consume(superlane, i.in);
  } else if (superlane == 0) {
    for (std::size_t lane = 0; lane < 8; ++lane) {
      bytes[lane] = static_cast<std::uint8_t>(static_cast<std::uint64_t>(cycle_) >> (8 * lane));
    }
  }
  vector.bytes.insert(vector.bytes.end(), bytes.begin(), bytes.end());
}

}  // namespace tandem::lpu
