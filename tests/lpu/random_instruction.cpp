#include "tests/lpu/random_instruction.hpp"

#include <array>

namespace tandem::lpu::testing {
namespace {

class InstructionMaker {
 public:
  InstructionMaker(RandomStream& random, const Geometry& geometry)
      : random_(random), g_(geometry) {}

  Instruction make(int& queue) {
    const auto op = static_cast<Opcode>(below(opcode_count));
    Instruction i;
    i.op = op;
    queue = 0;
    switch (op) {
      case Opcode::Nop:
        i.count = static_cast<std::uint16_t>(1 + below(65535));
        return i;
      case Opcode::Repeat:
      case Opcode::Loop:
      case Opcode::LoopReg:
        return control(i);
      case Opcode::Sync:
      case Opcode::Notify:
        return i;
      case Opcode::Ifetch:
      case Opcode::Select:
      case Opcode::Config:
      case Opcode::AGen:
      case Opcode::Flag:
        return instruction_control(i, queue);
      case Opcode::Deskew:
      case Opcode::RuntimeDeskew:
        queue = g_.c2c_queue(below(g_.link_count()));
        if (op == Opcode::RuntimeDeskew) i.count = static_cast<std::uint16_t>(below(65536));
        return i;
      case Opcode::Mem:
        return mem(i, queue);
      case Opcode::Alu:
        return alu(i, queue);
      case Opcode::LoadWeights:
      case Opcode::InstallWeights:
      case Opcode::Activate:
      case Opcode::Emit:
        return matrix(i, queue);
      case Opcode::Send:
      case Opcode::Recv:
      case Opcode::Transmit:
        i.link = static_cast<std::uint8_t>(below(g_.link_count()));
        queue = g_.c2c_queue(i.link);
        if (op == Opcode::Send) i.in = group(1);
        if (op == Opcode::Recv) i.out = group(1);
        return i;
      default:
        return lanes(i, queue);
    }
  }

 private:
  int below(int n) { return static_cast<int>(random_.integer(0, n - 1)); }
  Direction direction() { return below(2) == 0 ? Direction::West : Direction::East; }
  StreamRef group(int width) {
    const int groups = g_.streams_per_direction / width;
    return {direction(), static_cast<std::uint16_t>(width * below(groups))};
  }
  Instruction control(Instruction i) {
    if (i.op == Opcode::LoopReg) {
      i.reg = static_cast<std::uint16_t>(1 + below(host_registers - 1));
    } else {
      i.count = static_cast<std::uint16_t>(below(65536));
    }
    if (i.op != Opcode::Repeat) i.width = static_cast<std::uint16_t>(1 + below(65535));
    i.interval = static_cast<std::uint16_t>(1 + below(65535));
    i.stride = static_cast<std::int16_t>(below(65536) - 32768);
    return i;
  }
  Instruction instruction_control(Instruction i, int& queue) {
    if (i.op == Opcode::Ifetch) {
      queue = below(g_.queue_count());
      i.in = group(2);
    } else if (i.op == Opcode::Config) {
      queue = g_.vxm_queue(0);
      i.count = static_cast<std::uint16_t>(1 + below(g_.superlanes));
    } else {
      i.count = static_cast<std::uint16_t>(1 + below(65535));
      i.width = static_cast<std::uint16_t>(1 + below(65535));
    }
    if (i.op == Opcode::AGen) {
      queue = below(g_.mem_slices());
      i.stride = static_cast<std::int16_t>(below(65536) - 32768);
    }
    if (i.op == Opcode::Select) i.interval = static_cast<std::uint16_t>(below(65536));
    if (i.op == Opcode::Select || i.op == Opcode::Flag) {
      i.reg = static_cast<std::uint16_t>(1 + below(host_registers - 1));
    }
    if (i.op == Opcode::Flag) {
      queue = g_.vxm_queue(below(g_.vxm_alus));
      i.count = i.width = 0;
      i.in = group(2);
    }
    return i;
  }
  MemAccess access(int bank) {
    MemAccess a;
    a.kind = static_cast<MemAccess::Kind>(1 + below(4));
    a.bank = static_cast<std::uint8_t>(bank);
    a.reg = static_cast<std::uint16_t>(below(host_registers));
    a.generated = below(4) == 0;
    a.row = static_cast<std::uint16_t>(below(g_.rows_per_bank));
    a.stream = group(1);
    if (a.kind == MemAccess::Kind::Gather || a.kind == MemAccess::Kind::Scatter) a.map = group(2);
    return a;
  }
  Instruction mem(Instruction i, int& queue) {
    queue = below(g_.mem_slices());
    const int bank = below(2);
    i.access[0] = access(bank);
    if (below(2) == 1) i.access[1] = access(1 - bank);
    return i;
  }
  AluOperand operand(Type type, bool may_be_immediate) {
    AluOperand o;
    o.kind = static_cast<AluOperand::Kind>(1 + below(may_be_immediate ? 3 : 2));
    if (o.kind == AluOperand::Kind::Stream) o.stream = group(streams_of(type));
    if (o.kind == AluOperand::Kind::Alu) o.alu = static_cast<std::uint8_t>(below(g_.vxm_alus));
    return o;
  }
  Instruction alu(Instruction i, int& queue) {
    i.alu_op = static_cast<AluOp>(below(alu_op_count));
    const int unit = is_special(i.alu_op) ? 3 + 4 * below(g_.vxm_alus / 4) : below(g_.vxm_alus);
    queue = g_.vxm_queue(unit);
    if (i.alu_op == AluOp::Convert) i.from = static_cast<Type>(below(type_count));
    if (i.alu_op == AluOp::Convert || i.alu_op == AluOp::Pass) {
      i.type = static_cast<Type>(below(type_count));
    } else if (!is_special(i.alu_op)) {
      i.type = below(2) == 0 ? Type::Int32 : Type::Float32;
    }
    const Type source = i.alu_op == AluOp::Convert ? i.from : i.type;
    i.x = operand(source, true);
    if (operand_count(i.alu_op) == 2) {
      i.y = operand(source, i.x.kind != AluOperand::Kind::Immediate);
    }
    if (i.x.kind == AluOperand::Kind::Immediate || i.y.kind == AluOperand::Kind::Immediate) {
      i.immediate = static_cast<std::uint32_t>(random_.next());
    }
    i.has_out = below(2) == 1;
    if (i.has_out) i.out = group(streams_of(i.type));
    return i;
  }
  Instruction matrix(Instruction i, int& queue) {
    i.plane = static_cast<std::uint8_t>(below(g_.planes));
    const bool weights = i.op == Opcode::LoadWeights || i.op == Opcode::InstallWeights;
    if (i.op == Opcode::Activate) {
      i.type = static_cast<Type>(below(5));
      if (streams_of(i.type) == 2) {
        i.plane = static_cast<std::uint8_t>(i.plane & ~1);
        i.halves = static_cast<std::uint8_t>(1 + below(2));
      }
      i.add = below(2) == 1;
      i.in = group(streams_of(i.type));
      i.in.direction = outward(g_.plane_hemisphere(i.plane));
    }
    if (i.op == Opcode::Emit) {
      i.out = group(4);
      i.out.direction = inward(g_.plane_hemisphere(i.plane));
    }
    if (!weights) i.accumulator = static_cast<std::uint8_t>(below(g_.accumulators));
    if (i.op == Opcode::LoadWeights) {
      i.column_group = static_cast<std::uint8_t>(below(g_.lw_issues()));
      const int base = g_.has_wide_weight_path() ? g_.streams_per_direction : 0;
      i.in.id = static_cast<std::uint16_t>(base + g_.weight_streams_per_plane * below(2));
      i.in.direction = outward(g_.plane_hemisphere(i.plane));
    }
    queue = weights ? g_.mxm_weights_queue(i.plane) : g_.mxm_compute_queue(i.plane);
    return i;
  }
  Instruction lanes(Instruction i, int& queue) {
    const bool transpose = i.op == Opcode::Transpose16 || i.op == Opcode::Rotate;
    const auto side = below(2) == 0 ? Hemisphere::West : Hemisphere::East;
    queue = g_.sxm_queue(side, below(transpose ? 2 : g_.sxm_queues_per_hemisphere));
    if (!transpose) i.type = static_cast<Type>(below(type_count));
    const int width = transpose ? 16 : streams_of(i.type);
    i.in = group(i.op == Opcode::Rotate ? 1 : width);
    i.out = group(width);
    if (i.op == Opcode::Rotate) i.amount = static_cast<std::int16_t>(3 + below(2));
    if (i.op == Opcode::Sel3) {
      i.amount = static_cast<std::int16_t>(below(641) - 320);
      i.map = 2;
    }
    if (i.op == Opcode::Shift) i.amount = static_cast<std::int16_t>(below(641) - 320);
    if (i.op == Opcode::Distribute) i.map = 1;
    return i;
  }

  RandomStream& random_;
  const Geometry& g_;
};

}  // namespace

Instruction random_instruction(RandomStream& random, const Geometry& geometry, int& queue) {
  return InstructionMaker(random, geometry).make(queue);
}

std::vector<std::vector<std::uint16_t>> legal_maps(const Geometry& geometry) {
  std::vector<std::uint16_t> reversal(static_cast<std::size_t>(geometry.lanes()));
  for (std::size_t lane = 0; lane < reversal.size(); ++lane) {
    reversal[lane] = static_cast<std::uint16_t>(reversal.size() - 1 - lane);
  }
  std::vector<std::uint16_t> first_lane(static_cast<std::size_t>(geometry.lanes_per_superlane), 0);
  first_lane.back() = 0xffff;
  std::vector<std::uint16_t> sides(static_cast<std::size_t>(geometry.lanes()));
  for (std::size_t lane = 0; lane < sides.size(); ++lane) {
    sides[lane] = static_cast<std::uint16_t>(lane % 3);
  }
  sides[5] = 0xffff;
  return {reversal, first_lane, sides};
}

Geometry lpu_v1() {
  Geometry geometry;
  geometry.clock = Hertz(900e6);
  geometry.links = {{"c2c", 16, 27, 270}};
  return geometry;
}

Geometry lp30() {
  Geometry geometry;
  geometry.clock = Hertz(1.5e9);
  geometry.mem_slices_per_hemisphere = 80;
  geometry.rows_per_bank = 4883;
  geometry.weight_streams_per_plane = 80;
  geometry.links = {{"intra_node", 15, 10, 525},
                    {"inter_node", 15, 20, 525},
                    {"inter_rack", 4, 40, 1200},
                    {"fpga", 1, 40, 525}};
  return geometry;
}

}  // namespace tandem::lpu::testing
