// What each instruction does to shared resources, as the verifier sees it.
#include <fmt/format.h>

#include <algorithm>

#include "models/lpu/verifier_pass.hpp"

namespace tandem::lpu {

void VerifierPass::visit(int queue, const Issue& issue) {
  const Instruction& instruction = *issue.instruction;
  if (!illegal_.empty()) {
    if (const auto bad = illegal_.find(&instruction); bad != illegal_.end()) {
      return add(bad->second.rule.c_str(), queue, issue.cycle, std::string(name_of(instruction.op)),
                 bad->second.message);
    }
  }
  switch (instruction.op) {
    case Opcode::Notify:
      releases_.push_back(issue.cycle + latency_.barrier);
      return;
    case Opcode::Mem:
      return visit_mem(queue, issue);
    case Opcode::Alu:
      return visit_alu(queue, issue);
    case Opcode::LoadWeights:
    case Opcode::InstallWeights:
    case Opcode::Activate:
    case Opcode::Emit:
      return note_plane(queue, issue);
    case Opcode::Send:
    case Opcode::Recv:
    case Opcode::Transmit:
      return visit_link(queue, issue);
    case Opcode::Ifetch:
    case Opcode::Flag:
      return note_stream(queue, instruction, instruction.in, 2, geometry_.queue_position(queue),
                         issue.cycle, true);
    case Opcode::AGen:
    case Opcode::Config:
      return;
    default:
      return visit_switch(queue, issue);
  }
}

void VerifierPass::note_stream(int queue, const Instruction& instruction, StreamRef first,
                               int streams, int position, std::int64_t cycle, bool reads) {
  const bool east = first.direction == Direction::East;
  const int travelled = east ? position : -position;
  const int offset = east ? 0 : geometry_.total_streams_per_direction();
  for (int i = 0; i < streams; ++i) {
    stream_events_.push_back(
        {cycle - travelled, first.id + i + offset, travelled, reads, instruction.op, queue});
  }
}

void VerifierPass::visit_mem(int queue, const Issue& issue) {
  SliceState& slice = slices_[static_cast<std::size_t>(queue)];
  std::int64_t held_next = -1;
  // Reads see the rows as they were before the writes of their own word.
  for (const bool reads : {true, false}) {
    for (const MemAccess& access : issue.instruction->access) {
      using Kind = MemAccess::Kind;
      const bool is_read = access.kind == Kind::Read || access.kind == Kind::Gather;
      if (access.kind == Kind::None || is_read != reads) continue;
      const bool mapped = access.kind == Kind::Gather || access.kind == Kind::Scatter;
      if (!mapped && slice.held_cycle == issue.cycle) {
        add("H2", queue, issue.cycle, fmt::format("bank {}", access.bank),
            "the bank is busy for the gather or scatter of the cycle before");
      }
      if (mapped && held_next >= 0) {
        add("H2", queue, issue.cycle + 1, fmt::format("bank {}", access.bank),
            "two gathers or scatters in one word need all banks in the same cycle");
      }
      if (mapped) held_next = issue.cycle + 1;
      visit_access(queue, issue, access);
    }
  }
  slice.held_cycle = held_next;
}

void VerifierPass::visit_access(int queue, const Issue& issue, const MemAccess& access) {
  using Kind = MemAccess::Kind;
  const std::int64_t row = access.row + issue.row_offset + (access.generated ? issue.generated : 0);
  const std::int64_t highest = row + program_.register_limits[access.reg];
  if (row < 0 || highest >= geometry_.rows_per_bank) {
    add("H8", queue, issue.cycle, fmt::format("bank {}", access.bank),
        fmt::format("rows {}..{} are not all inside the {} rows of a bank", row, highest,
                    geometry_.rows_per_bank));
  }
  const int position = geometry_.mem_position(queue);
  const Instruction& instruction = *issue.instruction;
  const bool mapped = access.kind == Kind::Gather || access.kind == Kind::Scatter;
  if (mapped) note_stream(queue, instruction, access.map, 2, position, issue.cycle, true);
  SliceState& slice = slices_[static_cast<std::size_t>(queue)];
  if (access.kind == Kind::Read || access.kind == Kind::Gather) {
    check_row_age(queue, issue.cycle + (mapped ? 1 : 0), access, row, mapped);
    const int latency = mapped ? latency_.mem_gather : latency_.mem_read;
    note_stream(queue, instruction, access.stream, 1, position, issue.cycle + latency, false);
    return;
  }
  note_stream(queue, instruction, access.stream, 1, position, issue.cycle, true);
  const int age = mapped ? latency_.mem_gather : latency_.mem_write_to_read;
  std::erase_if(slice.writes,
                [&](const RecentWrite& write) { return write.readable <= issue.cycle; });
  slice.writes.push_back({issue.cycle + age, access, row, mapped});
}

void VerifierPass::check_row_age(int queue, std::int64_t cycle, const MemAccess& access,
                                 std::int64_t row, bool any_row) {
  for (const RecentWrite& write : slices_[static_cast<std::size_t>(queue)].writes) {
    if (write.access.bank != access.bank || write.readable <= cycle) continue;
    bool same = any_row || write.any_row;
    if (!same && write.access.reg == access.reg) {
      same = write.row == row;
    } else if (!same) {
      same = row <= write.row + program_.register_limits[write.access.reg] &&
             write.row <= row + program_.register_limits[access.reg];
    }
    if (!same) continue;
    add("H9", queue, cycle, fmt::format("bank {} row {}", access.bank, row),
        fmt::format("the row may have been written and is readable from cycle {} on",
                    write.readable));
  }
}

void VerifierPass::visit_alu(int queue, const Issue& issue) {
  const Instruction& i = *issue.instruction;
  const int alu = queue - geometry_.vxm_queue(0);
  const int position = geometry_.vxm_position();
  for (const AluOperand& operand : {i.x, i.y}) {
    if (operand.kind == AluOperand::Kind::Stream) {
      const int width = streams_of(i.alu_op == AluOp::Convert ? i.from : i.type);
      note_stream(queue, i, operand.stream, width, position, issue.cycle, true);
    } else if (operand.kind == AluOperand::Kind::Alu) {
      register_events_.push_back({operand.alu, issue.cycle, true, queue});
    }
  }
  if (i.alu_op == AluOp::Select) register_events_.push_back({alu, issue.cycle, true, queue});
  const bool accumulates = i.alu_op == AluOp::AccAdd || i.alu_op == AluOp::AccMax;
  if (accumulates && !running_started_[static_cast<std::size_t>(alu)]) {
    add("H4", queue, issue.cycle, fmt::format("running value of ALU {}", alu),
        "used before acc_clear");
  }
  if (i.alu_op == AluOp::AccClear) running_started_[static_cast<std::size_t>(alu)] = true;
  const std::int64_t landing =
      issue.cycle + (is_special(i.alu_op) ? latency_.vxm_special : latency_.vxm_simple);
  register_events_.push_back({alu, landing, false, queue});
  if (i.has_out) {
    note_stream(queue, i, i.out, streams_of(i.type), position, landing, false);
  }
}

void VerifierPass::visit_switch(int queue, const Issue& issue) {
  const Instruction& i = *issue.instruction;
  const bool east = queue >= geometry_.sxm_queue(Hemisphere::East, 0);
  const int position = geometry_.sxm_position(east ? Hemisphere::East : Hemisphere::West);
  int latency = latency_.sxm_cross;
  if (i.op == Opcode::Distribute) latency = latency_.sxm_distribute;
  if (i.op == Opcode::Transpose16) latency = latency_.sxm_transpose;
  if (i.op == Opcode::Rotate) latency = latency_.sxm_rotate;
  note_stream(queue, i, i.in, switch_inputs(i), position, issue.cycle, true);
  note_stream(queue, i, i.out, switch_outputs(i), position, issue.cycle + latency, false);
}

void VerifierPass::visit_link(int queue, const Issue& issue) {
  const Instruction& i = *issue.instruction;
  const bool sends = i.op != Opcode::Recv;
  const int position = geometry_.c2c_position(geometry_.link_hemisphere(i.link));
  std::int64_t& next = link_next_[i.link][sends ? 0 : 1];
  if (issue.cycle < next) {
    add("H6", queue, issue.cycle, fmt::format("link {}", i.link),
        fmt::format("the link is busy until cycle {}", next));
  }
  next = issue.cycle + geometry_.link_class(i.link).cycles_per_vector;
  if (i.op == Opcode::Transmit) return;
  note_stream(queue, i, sends ? i.in : i.out, 1, position, issue.cycle, sends);
}

void VerifierPass::note_plane(int queue, const Issue& issue) {
  const Instruction& i = *issue.instruction;
  const int position = geometry_.mxm_position(geometry_.plane_hemisphere(i.plane));
  if (i.op == Opcode::LoadWeights) {
    note_stream(queue, i, i.in, geometry_.weight_streams_per_plane, position, issue.cycle, true);
  } else if (i.op == Opcode::Activate) {
    note_stream(queue, i, i.in, streams_of(i.type), position, issue.cycle, true);
  } else if (i.op == Opcode::Emit) {
    note_stream(queue, i, i.out, 4, position, issue.cycle, false);
  }
  plane_events_.push_back({issue.cycle, queue, issue.instruction});
}

}  // namespace tandem::lpu
