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

bool is_special_alu(int alu) {
  return alu % special_every == special_every - 1;
}

std::int64_t landing_shift(const LatencyTable& latencies, int alu, AluOp op) {
  return is_special_alu(alu) && !is_special(op) ? latencies.vxm_special - latencies.vxm_simple : 0;
}

}  // namespace

bool serves_expressions(const Geometry& geometry, int alu, bool special) {
  return is_special_alu(alu) == special && (special || alu < geometry.vxm_alus - pinned_alus);
}

bool Work::take(Timeline& line, std::int64_t cycle) {
  if (line.busy(cycle)) return false;
  line.take(cycle);
  taken_.emplace_back(&line, cycle);
  return true;
}

// In a loop a queue must do its part of an iteration within one interval.
bool Work::widen(int queue, std::int64_t first, std::int64_t end) {
  if (scheduler_->interval() == 0) return true;
  const QueueWindow before = scheduler_->window(queue);
  if (!scheduler_->widen(queue, first, end)) return false;
  widened_.emplace_back(queue, before);
  return true;
}

void Work::roll_back() {
  for (const auto& [line, cycle] : taken_) line->release(cycle);
  taken_.clear();
  for (auto was = widened_.rbegin(); was != widened_.rend(); ++was) {
    scheduler_->window(was->first) = was->second;
  }
  widened_.clear();
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

// On a special ALU results land at two distances from their issue, so cycles of landing are
// reserved, named by the issue of a special operation; and cycles of issue apart.
bool Work::alu_is_free(const Node& node, int alu, std::int64_t start) const {
  Timeline& queue = scheduler_->queue(scheduler_->geometry().vxm_queue(alu));
  const std::int64_t issue = start + node.cycle;
  if (is_special_alu(alu) && scheduler_->issues(alu).busy(issue)) return false;
  const std::int64_t slot = issue - landing_shift(scheduler_->latencies(), alu, node.op);
  for (std::int64_t c = 0; c <= node.hold; ++c) {
    if (queue.busy(slot + c)) return false;
  }
  return true;
}

// The first that is free; in a loop the one whose window grows least, so that ALUs keep to one part
// of the iteration. -1: none.
int Work::choose_alu(const Node& node, std::int64_t start) const {
  const Geometry& geometry = scheduler_->geometry();
  const std::int64_t at = start + node.cycle;
  const bool special = is_special(node.op) || node.options.special;
  int best = -1;
  std::int64_t least = scheduler_->interval() + 1;
  for (int alu = 0; alu < geometry.vxm_alus; ++alu) {
    if (!serves_expressions(geometry, alu, special) || !alu_is_free(node, alu, start)) continue;
    if (scheduler_->interval() == 0) return alu;
    const QueueWindow& own = scheduler_->window(geometry.vxm_queue(alu));
    const std::int64_t length = own.end - own.first;
    const std::int64_t wider =
        own.empty() ? 1 : std::max(own.end, at + 1) - std::min(own.first, at);
    if (wider > scheduler_->interval() || wider - length >= least) continue;
    best = alu;
    least = wider - length;
  }
  return best;
}

bool Work::reserve_alus(std::int64_t start) {
  const Geometry& geometry = scheduler_->geometry();
  for (Node& node : nodes_) {
    if (node.permuted_flow >= 0) continue;
    node.alu = node.options.pinned >= 0 ? node.options.pinned : choose_alu(node, start);
    if (node.alu < 0 || !alu_is_free(node, node.alu, start)) return false;
    const int unit = geometry.vxm_queue(node.alu);
    Timeline& queue = scheduler_->queue(unit);
    const std::int64_t issue = start + node.cycle;
    if (!widen(unit, issue, issue + 1)) return false;
    const std::int64_t slot = issue - landing_shift(scheduler_->latencies(), node.alu, node.op);
    for (std::int64_t c = 0; c <= node.hold; ++c) {
      if (!take(queue, slot + c)) return false;
    }
    if (is_special_alu(node.alu) && !take(scheduler_->issues(node.alu), issue)) return false;
  }
  return true;
}

bool Work::reserve(std::int64_t start) {
  const Geometry& geometry = scheduler_->geometry();
  for (const MemoryOp& op : memory_) {
    const std::int64_t at = start + op.cycle;
    Timeline& port = scheduler_->port(op.place.slice, op.place.bank);
    if (!take(port, at)) return false;
    if (!widen(geometry.mem_queue(op.place.slice), at, at + 1)) return false;
    const bool rests = op.place.alone && op.kind == MemAccess::Kind::Write;
    for (int c = 1; rests && c < scheduler_->latencies().mem_write_to_read; ++c) {
      if (!take(port, at + c)) return false;
    }
  }
  for (UnitOp& op : units_) {
    if (op.sxm_side >= 0) {
      const Hemisphere side = op.sxm_side == 1 ? Hemisphere::East : Hemisphere::West;
      bool found = false;
      for (int unit = 0; unit < geometry.sxm_queues_per_hemisphere && !found; ++unit) {
        op.queue = geometry.sxm_queue(side, unit);
        const std::int64_t at = start + op.cycle;
        found = take(scheduler_->queue(op.queue), at) && widen(op.queue, at, at + 1);
      }
      if (!found) return false;
      continue;
    }
    if (op.cycles > 1 && scheduler_->crosses_release(start + op.cycle, op.cycles)) return false;
    for (int c = 0; c < op.cycles; ++c) {
      if (!take(scheduler_->queue(op.queue), start + op.cycle + c)) return false;
    }
    if (!widen(op.queue, start + op.cycle, start + op.cycle + op.cycles)) return false;
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
        auto& used = scheduler_->plane(p);
        used.last_use = std::max(used.last_use, at + op.cycles - 1);
        used.first_use = std::min(used.first_use, at);
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
  const std::int64_t interval = scheduler_->interval();
  const std::int64_t give_up = start + (interval == 0 ? search_limit : interval);
  while (!reserve(start)) {
    roll_back();
    if (++start > give_up) throw LoopDoesNotFit("lpu.compiler: a piece of schedule fits nowhere");
  }
  scheduler_->keep(taken_);
  commit(start);
  start_ = start;
  return start;
}

}  // namespace tandem::lpu
