#include "models/lpu/compiler/loop_plan.hpp"

#include <algorithm>

#include "models/lpu/compiler/work.hpp"
#include "sim/core/integers.hpp"

namespace tandem::lpu {
namespace {

std::int64_t vector_unit_cycles(const Scheduler& body) {
  std::int64_t special = 0;
  std::int64_t simple = 0;
  for (const QueueEvent& event : body.queue_events()) {
    if (event.instruction.op != Opcode::Alu) continue;
    ++(is_special(event.instruction.alu_op) ? special : simple);
  }
  const Geometry& geometry = body.geometry();
  int special_alus = 0;
  int simple_alus = 0;
  for (int alu = 0; alu < geometry.vxm_alus; ++alu) {
    special_alus += serves_expressions(geometry, alu, true) ? 1 : 0;
    simple_alus += serves_expressions(geometry, alu, false) ? 1 : 0;
  }
  return std::max(ceil_div(special, special_alus), ceil_div(simple, simple_alus));
}

}  // namespace

const char* name_of(LoopStrategy strategy) {
  return strategy == LoopStrategy::Sequential ? "sequential" : "overlapped";
}

std::int64_t LoopCost::at(std::int64_t blocks) const {
  return first + interval * (ceil_div(blocks, plan.blocks) - 1);
}

std::int64_t LoopCost::total(std::int64_t most, std::int64_t read) const {
  std::int64_t sum = 0;
  for (std::int64_t blocks = 1; blocks <= most; ++blocks) sum += at(std::min(blocks, read));
  return sum;
}

LoopUse use_of_body(const Scheduler& body) {
  auto busy = busy_cycles(body);
  busy[static_cast<std::size_t>(Resource::Vxm)] = vector_unit_cycles(body);
  LoopUse use;
  for (std::size_t i = 0; i < busy.size(); ++i) {
    if (busy[i] < use.bound) continue;
    use.bound = busy[i];
    use.busiest = static_cast<Resource>(i);
  }
  return use;
}

}  // namespace tandem::lpu
