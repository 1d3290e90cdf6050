#include "models/lpu/compiler/work.hpp"

#include <algorithm>
#include <bit>
#include <cstdlib>

#include "sim/core/diagnostics.hpp"

namespace tandem::lpu {
namespace {

Hemisphere side_of(const Geometry& geometry, const Rows& rows) {
  return geometry.mem_hemisphere(rows.front().slice);
}

}  // namespace

// The same rows are one source: what uses them in the same cycle shares a read.
Value Work::add_source(Source source) {
  const auto same = std::find_if(sources_.begin(), sources_.end(), [&](const Source& other) {
    return other.kind == source.kind && other.rows == source.rows && other.map == source.map;
  });
  const auto index = same - sources_.begin();
  if (same == sources_.end()) sources_.push_back(std::move(source));
  return {Value::Kind::Source, static_cast<int>(index), 0};
}

Value Work::memory(const Rows& rows) {
  return add_source({Source::Kind::Memory, rows});
}

Value Work::memory_permuted(const Rows& rows, int map) {
  return add_source({Source::Kind::MemoryPermuted, rows, 0, 0, map});
}

Value Work::accumulator(int plane, int accumulator) {
  sources_.push_back({Source::Kind::Accumulator, {}, plane, accumulator, 0});
  return {Value::Kind::Source, static_cast<int>(sources_.size()) - 1, 0};
}

Value Work::accumulator_permuted(int plane, int accumulator, int map) {
  sources_.push_back({Source::Kind::AccumulatorPermuted, {}, plane, accumulator, map});
  return {Value::Kind::Source, static_cast<int>(sources_.size()) - 1, 0};
}

Value Work::constant(float value) {
  return {Value::Kind::Immediate, 0, std::bit_cast<std::uint32_t>(value)};
}

int Work::add_flow(Direction direction, int width, bool west, bool east, std::int64_t z) {
  flows_.push_back({direction, width, west, east, z});
  return static_cast<int>(flows_.size()) - 1;
}

int Work::memory_flow(const Rows& rows, std::int64_t z) {
  const Geometry& geometry = scheduler_->geometry();
  const Hemisphere side = side_of(geometry, rows);
  const bool east = side == Hemisphere::East;
  const int flow = add_flow(inward(side), static_cast<int>(rows.size()), !east, east, z);
  for (std::size_t byte = 0; byte < rows.size(); ++byte) {
    const int distance = std::abs(geometry.mem_position(rows[byte].slice));
    memory_.push_back({z - distance - scheduler_->latencies().mem_read, rows[byte],
                       MemAccess::Kind::Read, flow, static_cast<int>(byte)});
  }
  return flow;
}

int Work::permute(int in_flow, Hemisphere side, int map, std::int64_t cycle) {
  const Geometry& geometry = scheduler_->geometry();
  const bool east = side == Hemisphere::East;
  const std::int64_t landed = cycle + scheduler_->latencies().sxm_cross;
  const int flow =
      add_flow(inward(side), 4, !east, east, landed + std::abs(geometry.sxm_position(side)));
  UnitOp op;
  op.cycle = cycle;
  op.queue = 0;
  op.cycles = 1;
  op.lands_after = scheduler_->latencies().sxm_cross;
  op.instruction.op = Opcode::Permute;
  op.instruction.type = Type::Float32;
  op.instruction.map = static_cast<std::uint16_t>(map);
  op.in_flow = in_flow;
  op.out_flow = flow;
  op.sxm_side = east ? 1 : 0;
  units_.push_back(op);
  return flow;
}

// Permutations of the same rows in the same cycle take them from one flow.
int Work::outward_flow(const Rows& rows, std::int64_t z) {
  const Place& first = rows.front();
  for (const OutwardUse& use : outward_) {
    if (use.z == z && use.first == first) return use.flow;
  }
  const Geometry& geometry = scheduler_->geometry();
  const Hemisphere side = side_of(geometry, rows);
  const bool east = side == Hemisphere::East;
  const int flow = add_flow(outward(side), static_cast<int>(rows.size()), !east, east, z);
  for (std::size_t byte = 0; byte < rows.size(); ++byte) {
    const int distance = std::abs(geometry.mem_position(rows[byte].slice));
    memory_.push_back({z + distance - scheduler_->latencies().mem_read, rows[byte],
                       MemAccess::Kind::Read, flow, static_cast<int>(byte)});
  }
  outward_.push_back({first, z, flow});
  return flow;
}

int Work::permuted_memory_flow(const Source& source, std::int64_t z) {
  const Geometry& geometry = scheduler_->geometry();
  const Hemisphere side = side_of(geometry, source.rows);
  const int sxm = std::abs(geometry.sxm_position(side));
  const std::int64_t cycle = z - sxm - scheduler_->latencies().sxm_cross;
  return permute(outward_flow(source.rows, cycle - sxm), side, source.map, cycle);
}

int Work::accumulator_flow(const Source& source, std::int64_t z) {
  const Geometry& geometry = scheduler_->geometry();
  const Hemisphere side = geometry.plane_hemisphere(source.plane);
  const bool east = side == Hemisphere::East;
  const bool is_permuted = source.kind == Source::Kind::AccumulatorPermuted;
  const int sxm = std::abs(geometry.sxm_position(side));
  const std::int64_t first_z = is_permuted ? z - scheduler_->latencies().sxm_cross : z;
  const int flow = add_flow(inward(side), 4, !east, east, first_z);
  UnitOp op;
  op.cycle = first_z - std::abs(geometry.mxm_position(side));
  op.queue = geometry.mxm_compute_queue(source.plane);
  op.cycles = 1;
  op.lands_after = 1;
  op.instruction.op = Opcode::Emit;
  op.instruction.type = Type::Float32;
  op.instruction.plane = static_cast<std::uint8_t>(source.plane);
  op.instruction.accumulator = static_cast<std::uint8_t>(source.accumulator);
  op.out_flow = flow;
  units_.push_back(op);
  return is_permuted ? permute(flow, side, source.map, first_z - sxm) : flow;
}

int Work::flow_of(Value value, std::int64_t cycle) {
  if (value.kind == Value::Kind::Node) {
    return nodes_[static_cast<std::size_t>(value.index)].permuted_flow;
  }
  if (value.kind != Value::Kind::Source) return -1;
  for (const FlowUse& use : uses_) {
    if (use.source == value.index && use.z == cycle) return use.flow;
  }
  const Source source = sources_[static_cast<std::size_t>(value.index)];
  int flow = -1;
  if (source.kind == Source::Kind::Memory) {
    flow = memory_flow(source.rows, cycle);
  } else if (source.kind == Source::Kind::MemoryPermuted) {
    flow = permuted_memory_flow(source, cycle);
  } else {
    flow = accumulator_flow(source, cycle);
  }
  uses_.push_back({value.index, cycle, flow});
  return flow;
}

std::int64_t Work::time_of(Value node) const {
  return nodes_[static_cast<std::size_t>(node.index)].cycle;
}

std::int64_t Work::landing(const Value& value) const {
  const Node& node = nodes_[static_cast<std::size_t>(value.index)];
  if (node.permuted_flow >= 0) return node.cycle;
  return node.cycle + (is_special(node.op) ? scheduler_->latencies().vxm_special
                                           : scheduler_->latencies().vxm_simple);
}

void Work::hold(const Value& value, std::int64_t cycle) {
  if (value.kind != Value::Kind::Node) return;
  Node& node = nodes_[static_cast<std::size_t>(value.index)];
  const std::int64_t wait = cycle - landing(value);
  if (node.permuted_flow >= 0 && wait != 0) {
    throw ModelError("lpu.compiler: a permuted vector is used in a cycle in which it has passed");
  }
  node.hold = std::max(node.hold, wait);
}

bool Work::share_a_port(const Value& x, const Value& y) const {
  if (x.kind != Value::Kind::Source || y.kind != Value::Kind::Source || x.index == y.index) {
    return false;
  }
  const Source& first = sources_[static_cast<std::size_t>(x.index)];
  const Source& second = sources_[static_cast<std::size_t>(y.index)];
  if (first.kind != second.kind) return false;
  for (const Place& a : first.rows) {
    for (const Place& b : second.rows) {
      if (a.slice == b.slice && a.bank == b.bank) return true;
    }
  }
  return false;
}

bool Work::is_taken(const Place& place, std::int64_t cycle) const {
  return std::any_of(memory_.begin(), memory_.end(), [&](const MemoryOp& op) {
    return op.cycle == cycle && op.place.slice == place.slice && op.place.bank == place.bank;
  });
}

// Whether bringing a source to the VXM in this cycle takes a port that this Work already uses then.
bool Work::meets_a_port(const Value& value, std::int64_t cycle) const {
  if (value.kind != Value::Kind::Source) return false;
  const Geometry& geometry = scheduler_->geometry();
  const Source& source = sources_[static_cast<std::size_t>(value.index)];
  if (source.rows.empty()) return false;
  std::int64_t z = cycle;
  int inwards = -1;
  if (source.kind == Source::Kind::MemoryPermuted) {
    z -= scheduler_->latencies().sxm_cross +
         2 * std::abs(geometry.sxm_position(side_of(geometry, source.rows)));
    inwards = 1;
    const auto is_same = [&](const OutwardUse& use) {
      return use.z == z && use.first == source.rows.front();
    };
    if (std::any_of(outward_.begin(), outward_.end(), is_same)) return false;
  }
  const auto is_same = [&](const FlowUse& use) {
    return use.source == value.index && use.z == cycle;
  };
  if (std::any_of(uses_.begin(), uses_.end(), is_same)) return false;
  return std::any_of(source.rows.begin(), source.rows.end(), [&](const Place& place) {
    const int distance = std::abs(geometry.mem_position(place.slice));
    return is_taken(place, z + inwards * distance - scheduler_->latencies().mem_read);
  });
}

Value Work::op(AluOp operation, Value x, Value y, const Options& options) {
  // One port gives one row per cycle: the first operand comes earlier and waits in an ALU.
  if (share_a_port(x, y)) {
    Options early;
    early.earliest = options.earliest;
    x = op(AluOp::Pass, x, {}, early);
  }
  std::int64_t cycle = std::max<std::int64_t>(options.earliest, 0);
  if (x.kind == Value::Kind::Node) cycle = std::max(cycle, landing(x));
  if (y.kind == Value::Kind::Node) cycle = std::max(cycle, landing(y));
  while (meets_a_port(x, cycle) || meets_a_port(y, cycle)) ++cycle;
  hold(x, cycle);
  hold(y, cycle);
  Node node;
  node.op = operation;
  node.options = options;
  node.x = x;
  node.y = y;
  node.cycle = cycle;
  node.hold = options.hold;
  node.x_flow = flow_of(x, cycle);
  node.y_flow = flow_of(y, cycle);
  nodes_.push_back(node);
  return {Value::Kind::Node, static_cast<int>(nodes_.size()) - 1, 0};
}

Value Work::convert(Value x, Type from, Type to) {
  Options options;
  options.from = from;
  options.type = to;
  return op(AluOp::Convert, x, {}, options);
}

int Work::out_flow(int index, Hemisphere side) {
  const std::int64_t z = landing({Value::Kind::Node, index, 0});
  Node& node = nodes_[static_cast<std::size_t>(index)];
  if (node.out_flow < 0) {
    node.out_flow = add_flow(outward(side), streams_of(node.options.type), true, true, z);
  }
  if (flows_[static_cast<std::size_t>(node.out_flow)].direction != outward(side)) {
    throw ModelError("lpu.compiler: one result cannot leave in both directions");
  }
  return node.out_flow;
}

Value Work::permuted(Value value, Hemisphere side, int map) {
  const int sxm = std::abs(scheduler_->geometry().sxm_position(side));
  const int in = out_flow(value.index, side);
  const std::int64_t cycle = landing(value) + sxm;
  Node node;
  node.op = AluOp::Pass;
  node.permuted_flow = permute(in, side, map, cycle);
  node.cycle = cycle + scheduler_->latencies().sxm_cross + sxm;
  nodes_.push_back(node);
  return {Value::Kind::Node, static_cast<int>(nodes_.size()) - 1, 0};
}

// Where a port is asked in the cycle in which the result would arrive, it comes one operation
// later.
void Work::store(Value value, const Rows& rows) {
  const auto meets = [&](const Place& place) {
    const int distance = std::abs(scheduler_->geometry().mem_position(place.slice));
    return is_taken(place, landing(value) + distance);
  };
  while (std::any_of(rows.begin(), rows.end(), meets)) {
    Options options;
    options.type = nodes_[static_cast<std::size_t>(value.index)].options.type;
    value = op(AluOp::Pass, value, {}, options);
  }
  std::vector<Rows> by_byte;
  for (const Place& place : rows) by_byte.push_back({place});
  store_all(value, by_byte);
}

void Work::store_all(Value value, const std::vector<Rows>& rows) {
  const Geometry& geometry = scheduler_->geometry();
  const auto filled =
      std::find_if(rows.begin(), rows.end(), [](const Rows& byte) { return !byte.empty(); });
  const int flow = out_flow(value.index, side_of(geometry, *filled));
  const std::int64_t z = landing(value);
  for (std::size_t byte = 0; byte < rows.size(); ++byte) {
    for (const Place& place : rows[byte]) {
      memory_.push_back({z + std::abs(geometry.mem_position(place.slice)), place,
                         MemAccess::Kind::Write, flow, static_cast<int>(byte)});
    }
  }
}

void Work::store_accumulator(int plane, int accumulator, const Rows& rows) {
  const Geometry& geometry = scheduler_->geometry();
  const int flow = accumulator_flow({Source::Kind::Accumulator, {}, plane, accumulator, 0}, 0);
  for (std::size_t byte = 0; byte < rows.size(); ++byte) {
    memory_.push_back({-std::abs(geometry.mem_position(rows[byte].slice)), rows[byte],
                       MemAccess::Kind::Write, flow, static_cast<int>(byte)});
  }
}

Instruction Work::activation(const Target& target, std::int64_t& last) const {
  Instruction word;
  word.op = Opcode::Activate;
  word.plane = static_cast<std::uint8_t>(target.plane);
  word.accumulator = static_cast<std::uint8_t>(target.accumulator);
  word.add = target.add;
  word.halves = static_cast<std::uint8_t>(target.halves);
  word.type = target.type;
  last = target.halves - 1 + scheduler_->latencies().mxm_result;
  return word;
}

void Work::activate(Value value, const Target& target) {
  const Geometry& geometry = scheduler_->geometry();
  const Hemisphere side = geometry.plane_hemisphere(target.plane);
  UnitOp op;
  op.in_flow = out_flow(value.index, side);
  op.cycle = landing(value) + std::abs(geometry.mxm_position(side));
  op.queue = geometry.mxm_compute_queue(target.plane);
  op.cycles = target.halves;
  op.instruction = activation(target, op.lands_after);
  units_.push_back(op);
}

void Work::activate_rows(const Rows& rows, const std::vector<Target>& targets) {
  const Geometry& geometry = scheduler_->geometry();
  const Hemisphere from = side_of(geometry, rows);
  const Hemisphere side = geometry.plane_hemisphere(targets.front().plane);
  const bool crosses = from != side;
  const bool east = side == Hemisphere::East;
  const int flow =
      add_flow(outward(side), static_cast<int>(rows.size()), crosses || !east, crosses || east, 0);
  for (std::size_t byte = 0; byte < rows.size(); ++byte) {
    const int distance = std::abs(geometry.mem_position(rows[byte].slice));
    memory_.push_back({(crosses ? -distance : distance) - scheduler_->latencies().mem_read,
                       rows[byte], MemAccess::Kind::Read, flow, static_cast<int>(byte)});
  }
  for (const Target& target : targets) {
    UnitOp op;
    op.in_flow = flow;
    op.cycle = std::abs(geometry.mxm_position(side));
    op.queue = geometry.mxm_compute_queue(target.plane);
    op.cycles = target.halves;
    op.instruction = activation(target, op.lands_after);
    units_.push_back(op);
  }
}

}  // namespace tandem::lpu
