// Values of the vector unit that become host registers.
#include "models/lpu/compiler/work.hpp"

namespace tandem::lpu {
namespace {

// Any queue of the vector unit may issue a flag; this ALU keeps sums and is idle most of the time.
int flag_queue(const Geometry& geometry) {
  return geometry.vxm_queue(geometry.vxm_alus - 2);
}

}  // namespace

std::int64_t Work::flag(const Rows& rows, int reg) {
  UnitOp op;
  op.cycle = 0;
  op.queue = flag_queue(scheduler_->geometry());
  op.cycles = 1;
  op.lands_after = 1;
  op.instruction.op = Opcode::Flag;
  op.instruction.reg = static_cast<std::uint16_t>(reg);
  op.in_flow = memory_flow(rows, op.cycle);
  units_.push_back(op);
  return op.cycle;
}

}  // namespace tandem::lpu
