// Finding a start at which a Work fits, and turning it into instructions.
#include <algorithm>
#include <cstdlib>

#include "models/lpu/compiler/work.hpp"
#include "sim/core/diagnostics.hpp"

namespace tandem::lpu {
namespace {

// Running values live in the last ordinary ALUs; everything else uses the ones before.
constexpr int special_every = 4;
constexpr std::int64_t search_limit = 4'000'000;

bool fits_alu(const Geometry& geometry, int alu, bool special) {
  const bool is_special_alu = alu % special_every == special_every - 1;
  return is_special_alu == special && (special || alu < geometry.vxm_alus - pinned_alus);
}

}  // namespace

bool Work::take(Timeline& line, std::int64_t cycle) {
  if (line.busy(cycle)) return false;
  line.take(cycle);
  taken_.emplace_back(&line, cycle);
  return true;
}

void Work::roll_back() {
  for (const auto& [line, cycle] : taken_) line->release(cycle);
  taken_.clear();
}

std::int64_t Work::lower_bound(std::int64_t earliest) const {
  const std::int64_t begin = scheduler_->segment_begin();
  std::int64_t start = std::max(earliest, begin);
  for (const MemoryOp& op : memory_) {
    const std::int64_t from = op.kind == MemAccess::Kind::Read ? scheduler_->readable(op.place)
                                                               : scheduler_->writable(op.place);
    start = std::max(start, std::max(from, begin) - op.cycle);
  }
  for (const Node& node : nodes_)
    start = std::max({start, begin - node.cycle, register_bound(node)});
  for (const UnitOp& op : units_) {
    start = std::max(start, begin - op.cycle);
    if (op.instruction.op == Opcode::Activate) {
      const int plane = op.instruction.plane;
      const int planes = streams_of(op.instruction.type);
      for (int p = plane; p < plane + planes; ++p) {
        start = std::max(start, scheduler_->plane(p).installed - op.cycle);
      }
      const auto& accumulator = scheduler_->plane(plane).accumulators[op.instruction.accumulator];
      start = std::max(start, accumulator.last_emit + 1 - op.cycle);
    } else if (op.instruction.op == Opcode::Emit) {
      const auto& accumulator =
          scheduler_->plane(op.instruction.plane).accumulators[op.instruction.accumulator];
      start = std::max(start, accumulator.ready - op.cycle);
    }
  }
  return start;
}

// A pinned ALU takes its next value after the last one has been read; nobody reads it earlier.
std::int64_t Work::register_bound(const Node& node) const {
  std::int64_t bound = scheduler_->segment_begin();
  for (const Value& value : {node.x, node.y}) {
    if (value.kind != Value::Kind::Register) continue;
    bound = std::max(bound, scheduler_->alu_register(value.index).written - node.cycle);
  }
  if (node.options.pinned < 0) return bound;
  const auto& state = scheduler_->alu_register(node.options.pinned);
  // A running sum is updated at issue: the next addend may follow in the next cycle.
  const std::int64_t landing =
      node.op == AluOp::AccAdd ? scheduler_->latencies().vxm_simple - 1 : 0;
  return std::max({bound, state.last_read + 1 - node.cycle, state.written - landing - node.cycle});
}

bool Work::reserve_flows(std::int64_t start) {
  const int streams = scheduler_->geometry().streams_per_direction;
  for (Flow& flow : flows_) {
    flow.id = -1;
    for (int id = 0; id + flow.width <= streams && flow.id < 0; id += flow.width) {
      bool is_free = true;
      for (int k = id; k < id + flow.width && is_free; ++k) {
        if (flow.west &&
            scheduler_->stream(flow.direction, k, Hemisphere::West).busy(start + flow.z)) {
          is_free = false;
        }
        if (flow.east &&
            scheduler_->stream(flow.direction, k, Hemisphere::East).busy(start + flow.z)) {
          is_free = false;
        }
      }
      if (is_free) flow.id = id;
    }
    if (flow.id < 0) return false;
    for (int k = flow.id; k < flow.id + flow.width; ++k) {
      for (const Hemisphere half : {Hemisphere::West, Hemisphere::East}) {
        if (!(half == Hemisphere::East ? flow.east : flow.west)) continue;
        if (!take(scheduler_->stream(flow.direction, k, half), start + flow.z)) return false;
      }
    }
  }
  return true;
}

bool Work::reserve_alus(std::int64_t start) {
  const Geometry& geometry = scheduler_->geometry();
  for (Node& node : nodes_) {
    if (node.permuted_flow >= 0) continue;
    node.alu = node.options.pinned;
    for (int alu = 0; alu < geometry.vxm_alus && node.alu < 0; ++alu) {
      if (!fits_alu(geometry, alu, is_special(node.op))) continue;
      bool is_free = true;
      for (std::int64_t c = 0; c <= node.hold && is_free; ++c) {
        is_free = !scheduler_->queue(geometry.vxm_queue(alu)).busy(start + node.cycle + c);
      }
      if (is_free) node.alu = alu;
    }
    if (node.alu < 0) return false;
    for (std::int64_t c = 0; c <= node.hold; ++c) {
      if (!take(scheduler_->queue(geometry.vxm_queue(node.alu)), start + node.cycle + c)) {
        return false;
      }
    }
  }
  return true;
}

bool Work::reserve(std::int64_t start) {
  const Geometry& geometry = scheduler_->geometry();
  for (const MemoryOp& op : memory_) {
    Timeline& port = scheduler_->port(op.place.slice, op.place.bank);
    if (!take(port, start + op.cycle)) return false;
    const bool rests = op.place.alone && op.kind == MemAccess::Kind::Write;
    for (int c = 1; rests && c < scheduler_->latencies().mem_write_to_read; ++c) {
      if (!take(port, start + op.cycle + c)) return false;
    }
  }
  for (UnitOp& op : units_) {
    if (op.sxm_side >= 0) {
      const Hemisphere side = op.sxm_side == 1 ? Hemisphere::East : Hemisphere::West;
      bool found = false;
      for (int unit = 0; unit < geometry.sxm_queues_per_hemisphere && !found; ++unit) {
        op.queue = geometry.sxm_queue(side, unit);
        found = take(scheduler_->queue(op.queue), start + op.cycle);
      }
      if (!found) return false;
      continue;
    }
    if (op.cycles > 1 && scheduler_->crosses_release(start + op.cycle, op.cycles)) return false;
    for (int c = 0; c < op.cycles; ++c) {
      if (!take(scheduler_->queue(op.queue), start + op.cycle + c)) return false;
    }
    const int busy = op.link < 0 ? 0 : geometry.link_class(op.link).cycles_per_vector;
    for (int c = 0; c < busy; ++c) {
      if (!take(scheduler_->link(op.link), start + op.cycle + c)) return false;
    }
  }
  return reserve_alus(start) && reserve_flows(start);
}

AluOperand Work::operand(const Value& value, int flow, Instruction& word) const {
  AluOperand result;
  if (value.kind == Value::Kind::Immediate) {
    result.kind = AluOperand::Kind::Immediate;
    word.immediate = value.bits;
  } else if (flow >= 0) {
    const Flow& source = flows_[static_cast<std::size_t>(flow)];
    result.kind = AluOperand::Kind::Stream;
    result.stream = {source.direction, static_cast<std::uint16_t>(source.id)};
  } else if (value.kind == Value::Kind::Register) {
    result.kind = AluOperand::Kind::Alu;
    result.alu = static_cast<std::uint8_t>(value.index);
  } else if (value.kind == Value::Kind::Node) {
    result.kind = AluOperand::Kind::Alu;
    result.alu = static_cast<std::uint8_t>(nodes_[static_cast<std::size_t>(value.index)].alu);
  }
  return result;
}

void Work::commit_nodes(std::int64_t start) {
  const Geometry& geometry = scheduler_->geometry();
  const LatencyTable& latencies = scheduler_->latencies();
  for (const Node& node : nodes_) {
    if (node.permuted_flow >= 0) continue;
    Instruction word;
    word.op = Opcode::Alu;
    word.alu_op = node.op;
    word.from = node.options.from;
    word.type = node.options.type;
    word.x = operand(node.x, node.x_flow, word);
    word.y = operand(node.y, node.y_flow, word);
    if (node.out_flow >= 0) {
      const Flow& out = flows_[static_cast<std::size_t>(node.out_flow)];
      word.has_out = true;
      word.out = {out.direction, static_cast<std::uint16_t>(out.id)};
    }
    const std::int64_t latency = is_special(node.op) ? latencies.vxm_special : latencies.vxm_simple;
    for (const Value& value : {node.x, node.y}) {
      if (value.kind != Value::Kind::Register) continue;
      auto& read = scheduler_->alu_register(value.index).last_read;
      read = std::max(read, start + node.cycle);
    }
    if (node.options.pinned >= 0) {
      auto& written = scheduler_->alu_register(node.options.pinned).written;
      written = std::max(written, start + node.cycle + latency);
    }
    scheduler_->add(QueueEvent{start + node.cycle, geometry.vxm_queue(node.alu), word},
                    latency + node.hold);
  }
}

void Work::commit(std::int64_t start) {
  const auto stream_of = [&](int flow, int byte) {
    const Flow& f = flows_[static_cast<std::size_t>(flow)];
    return StreamRef{f.direction, static_cast<std::uint16_t>(f.id + byte)};
  };
  for (const MemoryOp& op : memory_) {
    MemAccess access;
    access.kind = op.kind;
    access.bank = static_cast<std::uint8_t>(op.place.bank);
    access.reg = static_cast<std::uint16_t>(op.place.reg);
    access.row = static_cast<std::uint16_t>(op.place.row);
    access.stream = stream_of(op.flow, op.byte);
    scheduler_->add(MemEvent{start + op.cycle, op.place.slice, access});
  }
  commit_nodes(start);
  for (const UnitOp& op : units_) {
    Instruction word = op.instruction;
    if (op.in_flow >= 0) word.in = stream_of(op.in_flow, 0);
    if (op.out_flow >= 0) word.out = stream_of(op.out_flow, 0);
    const std::int64_t at = start + op.cycle;
    scheduler_->add(QueueEvent{at, op.queue, word}, op.lands_after);
    auto& plane = scheduler_->plane(word.plane);
    if (word.op == Opcode::Activate) {
      const int planes = streams_of(word.type);
      for (int p = word.plane; p < word.plane + planes; ++p) {
        auto& used = scheduler_->plane(p).last_use;
        used = std::max(used, at + op.cycles - 1);
      }
      auto& accumulator = plane.accumulators[word.accumulator];
      accumulator.ready = std::max(accumulator.ready, at + op.lands_after);
    } else if (word.op == Opcode::Emit) {
      auto& accumulator = plane.accumulators[word.accumulator];
      accumulator.last_emit = std::max(accumulator.last_emit, at);
    }
  }
}

std::int64_t Work::place(std::int64_t earliest) {
  std::int64_t start = lower_bound(earliest);
  const std::int64_t give_up = start + search_limit;
  while (!reserve(start)) {
    roll_back();
    if (++start > give_up) throw ModelError("lpu.compiler: a piece of schedule fits nowhere");
  }
  commit(start);
  start_ = start;
  return start;
}

}  // namespace tandem::lpu
