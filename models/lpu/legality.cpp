// Which instructions a queue's unit can execute, whatever the cycle.
#include <fmt/format.h>

#include "models/lpu/isa.hpp"

namespace tandem::lpu {
namespace {

using Result = std::optional<Illegality>;

Result isa(std::string message) {
  return Illegality{"ISA", std::move(message)};
}

// Id range and alignment of `streams` consecutive general streams.
Result check_group(StreamRef stream, int streams, int limit) {
  if (stream.id % streams != 0) {
    return Illegality{
        "H4", fmt::format("stream {} is not aligned to a group of {}", name_of(stream), streams)};
  }
  if (stream.id + streams > limit) {
    return Illegality{"H4", fmt::format("stream {} is outside the {} streams of its direction",
                                        name_of(stream), limit)};
  }
  return std::nullopt;
}

Result check_access(const MemAccess& access, int queue, const Geometry& geometry) {
  using Kind = MemAccess::Kind;
  if (access.kind == Kind::None) return std::nullopt;
  if (access.bank >= geometry.banks) return isa(fmt::format("no bank {}", access.bank));
  if (access.reg >= host_registers) return isa(fmt::format("no host register {}", access.reg));
  if (access.row >= geometry.rows_per_bank) {
    return Illegality{"H8", fmt::format("row {} of bank {} is outside the {} rows of a bank",
                                        access.row, access.bank, geometry.rows_per_bank)};
  }
  const bool moves_by_map = access.kind == Kind::Gather || access.kind == Kind::Scatter;
  if (moves_by_map) {
    if (auto bad = check_group(access.map, 2, geometry.streams_per_direction)) return bad;
  }
  const bool towards_planes = access.stream.direction == outward(geometry.mem_hemisphere(queue));
  const int limit = access.kind == Kind::Read && towards_planes
                        ? geometry.total_streams_per_direction()
                        : geometry.streams_per_direction;
  return check_group(access.stream, 1, limit);
}

Result check_mem(const Instruction& instruction, int queue, const Geometry& geometry) {
  const auto& [first, second] = instruction.access;
  if (queue >= geometry.mem_slices()) return isa("a MEM word outside the MEM queues");
  if (first.kind == MemAccess::Kind::None) return isa("a MEM word without a first access");
  if (auto bad = check_access(first, queue, geometry)) return bad;
  if (auto bad = check_access(second, queue, geometry)) return bad;
  if (second.kind != MemAccess::Kind::None && second.bank == first.bank) {
    return Illegality{"H2", fmt::format("two accesses of bank {} in one word", first.bank)};
  }
  return std::nullopt;
}

Result check_alu_types(const Instruction& instruction) {
  const bool narrow = streams_of(instruction.type) != 4;
  const bool any_type = instruction.alu_op == AluOp::Convert || instruction.alu_op == AluOp::Pass;
  if (narrow && !any_type) {
    return isa(fmt::format("{} on {}", name_of(instruction.alu_op), name_of(instruction.type)));
  }
  if (instruction.type == Type::Int32 && is_special(instruction.alu_op)) {
    return isa(fmt::format("{} on int32", name_of(instruction.alu_op)));
  }
  return std::nullopt;
}

Result check_alu_operand(const AluOperand& operand, const Instruction& instruction,
                         const Geometry& geometry) {
  if (operand.kind == AluOperand::Kind::Alu && operand.alu >= geometry.vxm_alus) {
    return isa(fmt::format("no ALU {}", operand.alu));
  }
  if (operand.kind != AluOperand::Kind::Stream) return std::nullopt;
  const Type type = instruction.alu_op == AluOp::Convert ? instruction.from : instruction.type;
  return check_group(operand.stream, streams_of(type), geometry.streams_per_direction);
}

Result check_alu(const Instruction& instruction, int queue, const Geometry& geometry) {
  using Kind = AluOperand::Kind;
  const int alu = queue - geometry.vxm_queue(0);
  if (alu < 0 || alu >= geometry.vxm_alus) return isa("a VXM operation outside the VXM queues");
  if (is_special(instruction.alu_op) && alu % 4 != 3) {
    return isa(fmt::format("{} on ALU {}; only every fourth has special functions",
                           name_of(instruction.alu_op), alu));
  }
  const bool clear = instruction.alu_op == AluOp::AccClear;
  const int operands = operand_count(instruction.alu_op);
  if ((instruction.x.kind == Kind::None && !clear) ||
      (instruction.y.kind == Kind::None) != (operands == 1)) {
    return isa(fmt::format("{} takes {} operand(s)", name_of(instruction.alu_op), operands));
  }
  const bool has_immediate =
      instruction.x.kind == Kind::Immediate || instruction.y.kind == Kind::Immediate;
  if (instruction.x.kind == Kind::Immediate && instruction.y.kind == Kind::Immediate) {
    return isa("two immediates in one instruction");
  }
  if (!has_immediate && instruction.immediate != 0) return isa("an immediate that nothing uses");
  if (auto bad = check_alu_types(instruction)) return bad;
  if (auto bad = check_alu_operand(instruction.x, instruction, geometry)) return bad;
  if (auto bad = check_alu_operand(instruction.y, instruction, geometry)) return bad;
  if (!instruction.has_out) return std::nullopt;
  return check_group(instruction.out, streams_of(instruction.type), geometry.streams_per_direction);
}

Result check_load_weights(const Instruction& instruction, const Geometry& geometry) {
  const int width = geometry.weight_streams_per_plane;
  if (instruction.column_group >= geometry.lw_issues()) {
    return isa(fmt::format("no column group {}", instruction.column_group));
  }
  const int base = geometry.has_wide_weight_path() ? geometry.streams_per_direction : 0;
  const int id = instruction.in.id - base;
  if (id < 0) {
    return Illegality{"H7", fmt::format("weights on general stream {}; this chip has a weight path",
                                        name_of(instruction.in))};
  }
  if (id % width != 0 || id + base + width > geometry.total_streams_per_direction()) {
    return Illegality{"H4", fmt::format("weight streams from {} on are not an aligned group of {}",
                                        name_of(instruction.in), width)};
  }
  return std::nullopt;
}

Result check_activate(const Instruction& instruction, const Geometry& geometry) {
  const int width = streams_of(instruction.type);
  if (width > 2 || instruction.type == Type::Int16) {
    return isa(fmt::format("planes do not multiply {}", name_of(instruction.type)));
  }
  if (width == 2 && instruction.plane % 2 != 0) {
    return isa("16-bit operations are issued on the even plane of a pair");
  }
  if (instruction.halves < 1 || instruction.halves > width) {
    return isa(fmt::format("halves = {} for {}", instruction.halves, name_of(instruction.type)));
  }
  return check_group(instruction.in, width, geometry.streams_per_direction);
}

Result check_mxm(const Instruction& instruction, int queue, const Geometry& geometry) {
  const int index = queue - geometry.mxm_weights_queue(0);
  if (index < 0 || index >= 2 * geometry.planes) return isa("an MXM operation outside its queues");
  const bool weights =
      instruction.op == Opcode::LoadWeights || instruction.op == Opcode::InstallWeights;
  if (instruction.plane != index / 2 || weights != (index % 2 == 0)) {
    return isa(fmt::format("{} of plane {} on the wrong queue", name_of(instruction.op),
                           instruction.plane));
  }
  if (instruction.op == Opcode::InstallWeights) return std::nullopt;
  const Hemisphere side = geometry.plane_hemisphere(instruction.plane);
  const bool emit = instruction.op == Opcode::Emit;
  const StreamRef stream = emit ? instruction.out : instruction.in;
  if (stream.direction != (emit ? inward(side) : outward(side))) {
    return Illegality{"H4", fmt::format("stream {} flows the wrong way for {}", name_of(stream),
                                        name_of(instruction.op))};
  }
  if (instruction.op == Opcode::LoadWeights) return check_load_weights(instruction, geometry);
  if (instruction.accumulator >= geometry.accumulators) {
    return isa(fmt::format("no accumulator {}", instruction.accumulator));
  }
  if (emit) return check_group(instruction.out, 4, geometry.streams_per_direction);
  return check_activate(instruction, geometry);
}

Result check_map(const Instruction& instruction, const Geometry& geometry,
                 const std::vector<std::vector<std::uint16_t>>& maps) {
  const bool within = instruction.op == Opcode::Distribute;
  const int lanes = within ? geometry.lanes_per_superlane : geometry.lanes();
  if (instruction.map >= maps.size()) return isa(fmt::format("no map {}", instruction.map));
  const auto& map = maps[instruction.map];
  if (static_cast<int>(map.size()) != lanes) {
    return isa(fmt::format("map {} has {} entries, {} needs {}", instruction.map, map.size(),
                           name_of(instruction.op), lanes));
  }
  const int entries = instruction.op == Opcode::Sel3 ? 3 : lanes;
  for (const std::uint16_t lane : map) {
    if (lane >= entries && lane != 0xffff) return isa(fmt::format("map entry {}", lane));
  }
  return std::nullopt;
}

Result check_sxm(const Instruction& instruction, int queue, const Geometry& geometry,
                 const std::vector<std::vector<std::uint16_t>>& maps) {
  const int index = queue - geometry.sxm_queue(Hemisphere::West, 0);
  if (index < 0 || index >= 2 * geometry.sxm_queues_per_hemisphere) {
    return isa("an SXM operation outside the SXM queues");
  }
  const bool transposer = instruction.op == Opcode::Transpose16 || instruction.op == Opcode::Rotate;
  if (transposer && index % geometry.sxm_queues_per_hemisphere >= 2) {
    return isa(
        fmt::format("{} outside the two transposers, SXM queues 0 and 1", name_of(instruction.op)));
  }
  if (instruction.op == Opcode::Rotate && instruction.amount != 3 && instruction.amount != 4) {
    return isa(fmt::format("rotate of {0} x {0}; 3 and 4 exist", instruction.amount));
  }
  const int limit = geometry.streams_per_direction;
  if (auto bad = check_group(instruction.in, switch_inputs(instruction), limit)) return bad;
  // Rotate fills the first streams of an aligned group of 16.
  const int outputs = transposer ? 16 : switch_outputs(instruction);
  if (auto bad = check_group(instruction.out, outputs, limit)) return bad;
  if (transposer || instruction.op == Opcode::Shift) return std::nullopt;
  return check_map(instruction, geometry, maps);
}

Result check_c2c(const Instruction& instruction, int queue, const Geometry& geometry) {
  if (instruction.link >= geometry.link_count()) {
    return Illegality{"H6", fmt::format("no link {}", instruction.link)};
  }
  if (queue != geometry.c2c_queue(instruction.link)) {
    return Illegality{"H6", fmt::format("link {} used by another link's queue", instruction.link)};
  }
  if (instruction.op == Opcode::Transmit) return std::nullopt;
  const StreamRef stream = instruction.op == Opcode::Send ? instruction.in : instruction.out;
  return check_group(stream, 1, geometry.streams_per_direction);
}

Result check_register(int reg) {
  if (reg == 0 || reg >= host_registers) return isa(fmt::format("no register {}", reg));
  return std::nullopt;
}

Result check_flag(const Instruction& instruction, int queue, const Geometry& geometry) {
  const int alu = queue - geometry.vxm_queue(0);
  if (alu < 0 || alu >= geometry.vxm_alus) return isa("flag outside the VXM queues");
  if (auto bad = check_register(instruction.reg)) return bad;
  return check_group(instruction.in, 2, geometry.streams_per_direction);
}

Result check_generator(const Instruction& instruction, int queue, const Geometry& geometry) {
  if (queue >= geometry.mem_slices()) return isa("agen outside the MEM queues");
  if (instruction.count == 0 || instruction.width == 0) return isa("agen with 0 steps or uses");
  return std::nullopt;
}

Result check_config(const Instruction& instruction, int queue, const Geometry& geometry) {
  if (queue != geometry.vxm_queue(0)) return isa("config outside the queue VXM0");
  if (instruction.count < 1 || instruction.count > geometry.superlanes) {
    return isa(fmt::format("config of {} superlanes", instruction.count));
  }
  return std::nullopt;
}

Result check_deskew(int queue, const Geometry& geometry) {
  if (queue < geometry.c2c_queue(0)) return isa("deskew outside the C2C queues");
  return std::nullopt;
}

Result check_control(const Instruction& instruction) {
  switch (instruction.op) {
    case Opcode::Nop:
      if (instruction.count == 0) return isa("nop of 0 cycles");
      return std::nullopt;
    case Opcode::Repeat:
      if (instruction.interval == 0) return Illegality{"H1", "repeat with interval 0"};
      return std::nullopt;
    case Opcode::LoopReg:
      if (auto bad = check_register(instruction.reg)) return bad;
      [[fallthrough]];
    case Opcode::Loop:
      if (instruction.width == 0) return isa("loop of width 0");
      if (instruction.interval == 0) return Illegality{"H1", "loop with interval 0"};
      return std::nullopt;
    case Opcode::Select:
      if (instruction.count == 0 || instruction.width == 0) return isa("select of no words");
      return check_register(instruction.reg);
    default:
      return std::nullopt;
  }
}

}  // namespace

std::optional<Illegality> find_illegality(const Instruction& instruction, int queue,
                                          const Geometry& geometry,
                                          const std::vector<std::vector<std::uint16_t>>& maps) {
  switch (instruction.op) {
    case Opcode::Mem:
      return check_mem(instruction, queue, geometry);
    case Opcode::Alu:
      return check_alu(instruction, queue, geometry);
    case Opcode::LoadWeights:
    case Opcode::InstallWeights:
    case Opcode::Activate:
    case Opcode::Emit:
      return check_mxm(instruction, queue, geometry);
    case Opcode::Shift:
    case Opcode::Permute:
    case Opcode::Distribute:
    case Opcode::Transpose16:
    case Opcode::Rotate:
    case Opcode::Sel3:
      return check_sxm(instruction, queue, geometry, maps);
    case Opcode::Ifetch:
      return check_group(instruction.in, fetch_vectors, geometry.streams_per_direction);
    case Opcode::Config:
      return check_config(instruction, queue, geometry);
    case Opcode::AGen:
      return check_generator(instruction, queue, geometry);
    case Opcode::Flag:
      return check_flag(instruction, queue, geometry);
    case Opcode::Deskew:
    case Opcode::RuntimeDeskew:
      return check_deskew(queue, geometry);
    case Opcode::Send:
    case Opcode::Recv:
    case Opcode::Transmit:
      return check_c2c(instruction, queue, geometry);
    default:
      return check_control(instruction);
  }
}

}  // namespace tandem::lpu
