#include "models/lpu/stream_use.hpp"

namespace tandem::lpu {
namespace {

void add_memory(const Instruction& word, const LatencyTable& latencies, StreamUses& uses) {
  using Kind = MemAccess::Kind;
  for (const MemAccess& access : word.access) {
    const bool mapped = access.kind == Kind::Gather || access.kind == Kind::Scatter;
    if (mapped) uses.operands.push_back({access.map, 2, 0});
    if (access.kind == Kind::Read) uses.results.push_back({access.stream, 1, latencies.mem_read});
    if (access.kind == Kind::Gather) {
      uses.results.push_back({access.stream, 1, latencies.mem_gather});
    }
    if (access.kind == Kind::Write || access.kind == Kind::Scatter) {
      uses.operands.push_back({access.stream, 1, 0});
    }
  }
}

void add_alu(const Instruction& word, const LatencyTable& latencies, StreamUses& uses) {
  const int width = streams_of(word.alu_op == AluOp::Convert ? word.from : word.type);
  for (const AluOperand& operand : {word.x, word.y}) {
    if (operand.kind == AluOperand::Kind::Stream) {
      uses.operands.push_back({operand.stream, width, 0});
    }
  }
  if (!word.has_out) return;
  const int latency = is_special(word.alu_op) ? latencies.vxm_special : latencies.vxm_simple;
  uses.results.push_back({word.out, streams_of(word.type), latency});
}

int switch_latency(Opcode op, const LatencyTable& latencies) {
  switch (op) {
    case Opcode::Distribute:
      return latencies.sxm_distribute;
    case Opcode::Transpose16:
      return latencies.sxm_transpose;
    case Opcode::Rotate:
      return latencies.sxm_rotate;
    default:
      return latencies.sxm_cross;
  }
}

}  // namespace

StreamUses streams_used(const Instruction& word, const Geometry& geometry,
                        const LatencyTable& latencies) {
  StreamUses uses;
  switch (word.op) {
    case Opcode::Mem:
      add_memory(word, latencies, uses);
      break;
    case Opcode::Alu:
      add_alu(word, latencies, uses);
      break;
    case Opcode::LoadWeights:
      uses.operands.push_back({word.in, geometry.weight_streams_per_plane, 0});
      break;
    case Opcode::Activate:
      uses.operands.push_back({word.in, streams_of(word.type), 0});
      break;
    case Opcode::Emit:
      uses.results.push_back({word.out, 4, 0});
      break;
    case Opcode::Send:
      uses.operands.push_back({word.in, 1, 0});
      break;
    case Opcode::Recv:
      uses.results.push_back({word.out, 1, 0});
      break;
    case Opcode::Ifetch:
    case Opcode::Flag:
      uses.operands.push_back({word.in, 2, 0});
      break;
    case Opcode::Shift:
    case Opcode::Permute:
    case Opcode::Distribute:
    case Opcode::Transpose16:
    case Opcode::Rotate:
    case Opcode::Sel3:
      uses.operands.push_back({word.in, switch_inputs(word), 0});
      uses.results.push_back({word.out, switch_outputs(word), switch_latency(word.op, latencies)});
      break;
    default:
      break;
  }
  return uses;
}

}  // namespace tandem::lpu
