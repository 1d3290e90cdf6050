// Rows that leave over links or arrive over them. A stream crosses the whole chip, so a row may lie
// in either hemisphere, whatever side the link is on.
#include <algorithm>
#include <cstdlib>

#include "models/lpu/compiler/work.hpp"

namespace tandem::lpu {

// A flow on the link's side carries its number at position 0 however far out it starts: from the
// same hemisphere it is read behind that cycle, from the other one before it.
void Work::send_row(const Place& place, int link, std::int64_t offset) {
  const Geometry& geometry = scheduler_->geometry();
  const Hemisphere side = geometry.link_hemisphere(link);
  const bool crosses = geometry.mem_hemisphere(place.slice) != side;
  const bool east = side == Hemisphere::East;
  const int flow = add_flow(outward(side), 1, !east || crosses, east || crosses, offset);
  const int distance = std::abs(geometry.mem_position(place.slice));
  memory_.push_back({offset + (crosses ? -distance : distance) - scheduler_->latencies().mem_read,
                     place, MemAccess::Kind::Read, flow, 0});
  UnitOp op;
  op.cycle = offset + std::abs(geometry.c2c_position(side));
  op.queue = geometry.c2c_queue(link);
  op.cycles = 1;
  op.lands_after = 1;
  op.instruction.op = Opcode::Send;
  op.instruction.link = static_cast<std::uint8_t>(link);
  op.in_flow = flow;
  op.link = link;
  units_.push_back(op);
}

void Work::receive_row(const Place& place, int link, std::int64_t offset) {
  const Geometry& geometry = scheduler_->geometry();
  const Hemisphere side = geometry.link_hemisphere(link);
  const bool crosses = geometry.mem_hemisphere(place.slice) != side;
  const bool east = side == Hemisphere::East;
  const std::int64_t z = offset + std::abs(geometry.c2c_position(side));
  const int flow = add_flow(inward(side), 1, !east || crosses, east || crosses, z);
  const int distance = std::abs(geometry.mem_position(place.slice));
  memory_.push_back({z + (crosses ? distance : -distance), place, MemAccess::Kind::Write, flow, 0});
  UnitOp op;
  op.cycle = offset;
  op.queue = geometry.c2c_queue(link);
  op.cycles = 1;
  op.lands_after = 1;
  op.instruction.op = Opcode::Recv;
  op.instruction.link = static_cast<std::uint8_t>(link);
  op.out_flow = flow;
  units_.push_back(op);
}

std::int64_t Work::first_read() const {
  std::int64_t first = 1LL << 60;
  for (const MemoryOp& op : memory_) {
    if (op.kind == MemAccess::Kind::Read) first = std::min(first, op.cycle);
  }
  return first;
}

std::int64_t Work::last_write() const {
  std::int64_t last = -(1LL << 60);
  for (const MemoryOp& op : memory_) {
    if (op.kind == MemAccess::Kind::Write) last = std::max(last, op.cycle);
  }
  return start_ + last;
}

}  // namespace tandem::lpu
