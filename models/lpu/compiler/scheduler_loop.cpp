// Loops: bodies whose iterations overlap, and how they are put into straight code.
//
// Virtual time counts one iteration of every loop. With n iterations everything behind a loop comes
// (n - 1) intervals later, so two accesses of a resource meet for some n exactly if
//  - one lies in the body, or both do, and they are whole intervals apart, the earlier one in the
//    body and no later than the other in program order; or
//  - the later one in program order lies whole intervals before the other or in the same cycle.
// The first is what the periodic resources of a body and loop_fits() check. The second is why
// repeat_backwards() takes all cycles that lie whole intervals before one that is taken.
#include <algorithm>
#include <cstdlib>
#include <limits>
#include <tuple>

#include "models/lpu/compiler/scheduler.hpp"

namespace tandem::lpu {
namespace {

constexpr std::int64_t unlimited = std::numeric_limits<std::int64_t>::max() / 2;

std::size_t index_of(int value) {
  return static_cast<std::size_t>(value);
}

// Streams are named by a cycle that may lie this much before their first vector exists.
std::int64_t stream_margin(const Geometry& geometry) {
  return 2 * std::abs(geometry.mxm_position(Hemisphere::East));
}

}  // namespace

Scheduler Scheduler::loop_body(const Geometry& geometry, const LatencyTable& latencies,
                               std::int64_t interval) {
  Scheduler body(geometry, latencies, 0);
  body.interval_ = interval;
  body.lines_.assign(body.lines_.size(), Timeline(interval));
  return body;
}

bool Scheduler::widen(int queue, std::int64_t first, std::int64_t end) {
  if (interval_ == 0) return true;
  QueueWindow& own = window(queue);
  const QueueWindow wider = own.empty()
                                ? QueueWindow{first, end}
                                : QueueWindow{std::min(own.first, first), std::max(own.end, end)};
  if (wider.end - wider.first > interval_) return false;
  own = wider;
  return true;
}

std::int64_t Scheduler::span() const {
  std::int64_t first = unlimited;
  for (const QueueWindow& own : windows_) {
    if (!own.empty()) first = std::min(first, own.first);
  }
  return std::max<std::int64_t>(1, landed_ - first);
}

void Scheduler::check_carried(const std::map<int, int>& strides) const {
  check_rows(strides);
  check_planes();
}

void Scheduler::check_rows(const std::map<int, int>& strides) const {
  struct Use {
    std::int64_t first_read = unlimited, last_read = -unlimited;
    std::int64_t first_write = unlimited, last_write = -unlimited;
  };
  std::map<std::tuple<int, int, int>, Use> rows;
  for (const MemEvent& event : mem_) {
    if (strides.contains(event.slice)) continue;
    Use& use = rows[{event.slice, event.access.bank, event.access.row}];
    const bool writes = event.access.kind == MemAccess::Kind::Write;
    auto& earliest = writes ? use.first_write : use.first_read;
    auto& latest = writes ? use.last_write : use.last_read;
    earliest = std::min(earliest, event.cycle);
    latest = std::max(latest, event.cycle);
  }
  for (const auto& [row, use] : rows) {
    if (use.last_write == -unlimited) continue;
    if (use.first_read + interval_ < use.last_write + latencies_.mem_write_to_read ||
        use.first_write + interval_ <= std::max(use.last_read, use.last_write)) {
      throw LoopDoesNotFit("lpu.compiler: an iteration reads a row that the last one still writes");
    }
  }
}

void Scheduler::check_planes() const {
  struct Use {
    std::int64_t first_load = unlimited, first_install = unlimited;
    std::int64_t last_install = -unlimited, last_use = -unlimited;
  };
  std::vector<Use> planes(planes_.size());
  std::map<std::pair<int, int>, std::pair<std::int64_t, std::int64_t>> accumulators;
  for (const QueueEvent& event : queue_) {
    const Instruction& word = event.instruction;
    Use& use = planes[word.plane];
    if (word.op == Opcode::LoadWeights) {
      use.first_load = std::min(use.first_load, event.cycle);
    } else if (word.op == Opcode::InstallWeights) {
      use.first_install = std::min(use.first_install, event.cycle);
      use.last_install = std::max(use.last_install, event.cycle);
    } else if (word.op == Opcode::Activate) {
      for (std::size_t p = word.plane; p < word.plane + index_of(streams_of(word.type)); ++p) {
        planes[p].last_use = std::max(planes[p].last_use, event.cycle + queue_cycles(word) - 1);
      }
      if (!word.add) {
        auto& first =
            accumulators.try_emplace({word.plane, word.accumulator}, unlimited, -unlimited)
                .first->second.first;
        first = std::min(first, event.cycle);
      }
    } else if (word.op == Opcode::Emit) {
      auto& last = accumulators.try_emplace({word.plane, word.accumulator}, unlimited, -unlimited)
                       .first->second.second;
      last = std::max(last, event.cycle);
    }
  }
  for (const Use& use : planes) {
    if (use.first_load + interval_ <= use.last_install ||
        use.first_install + interval_ <= use.last_use) {
      throw LoopDoesNotFit("lpu.compiler: weights change while the last iteration multiplies");
    }
  }
  for (const auto& [place, cycles] : accumulators) {
    if (cycles.first + interval_ <= cycles.second) {
      throw LoopDoesNotFit("lpu.compiler: an accumulator is set while the last iteration needs it");
    }
  }
}

// --- Into straight code ---

std::int64_t Scheduler::plane_shift(const QueueEvent& event) const {
  const Instruction& word = event.instruction;
  const Plane& plane = planes_[word.plane];
  switch (word.op) {
    case Opcode::LoadWeights:
      return plane.load_from - event.cycle;
    case Opcode::InstallWeights:
      return plane.last_use + 1 - event.cycle;
    case Opcode::Activate:
      return plane.accumulators[word.accumulator].last_emit + 1 - event.cycle;
    default:
      return -unlimited;
  }
}

// Rows behind a host register may be any row: a loop reads them after everything written so.
std::int64_t Scheduler::earliest_shift(const Scheduler& body) const {
  std::int64_t shift = -unlimited;
  const std::int64_t begin = std::max({begin_, horizon_, last_release()});
  for (std::size_t queue = 0; queue < windows_.size(); ++queue) {
    const QueueWindow& own = body.windows_[queue];
    if (!own.empty()) shift = std::max(shift, std::max(begin, queue_end_[queue]) - own.first);
  }
  for (const MemEvent& event : body.mem_) {
    const Place place{event.slice, event.access.bank, event.access.row, event.access.reg};
    const bool reads = event.access.kind == MemAccess::Kind::Read;
    shift = std::max(shift, (reads ? readable(place) : writable(place)) - event.cycle);
    shift = std::max(shift, available(place.reg) - event.cycle);
    if (place.reg == 0 || !reads) continue;
    const auto& written = moved_written_[index_of(event.slice * geometry_.banks + place.bank)];
    shift = std::max(shift, written + latencies_.mem_write_to_read - event.cycle);
  }
  for (const QueueEvent& event : body.queue_) shift = std::max(shift, plane_shift(event));
  return shift;
}

bool Scheduler::loop_fits(const Scheduler& body, std::int64_t interval, std::int64_t shift,
                          const std::vector<std::int64_t>& ends) const {
  for (const auto& [line, cycle] : body.taken_) {
    const auto index = static_cast<std::size_t>(line - body.lines_.data());
    for (std::int64_t at = cycle + shift; at < ends[index]; at += interval) {
      if (lines_[index].busy(at)) return false;
    }
  }
  return true;
}

void Scheduler::take_over(const Scheduler& body, std::int64_t shift) {
  for (const auto& [line, cycle] : body.taken_) {
    lines_[static_cast<std::size_t>(line - body.lines_.data())].take(cycle + shift);
  }
  for (MemEvent event : body.mem_) {
    event.cycle += shift;
    add(event);
    if (event.access.reg == 0 || event.access.kind != MemAccess::Kind::Read) continue;
    auto& read = moved_read_[index_of(event.slice * geometry_.banks + event.access.bank)];
    read = std::max(read, event.cycle);
  }
  for (QueueEvent event : body.queue_) {
    event.cycle += shift;
    add(event, 0);
  }
  for (std::size_t p = 0; p < planes_.size(); ++p) {
    const Plane& from = body.planes_[p];
    Plane& to = planes_[p];
    to.load_from = std::max(to.load_from, from.load_from + shift);
    to.installed = std::max(to.installed, from.installed + shift);
    to.last_use = std::max(to.last_use, from.last_use + shift);
    for (std::size_t a = 0; a < to.accumulators.size(); ++a) {
      const Accumulator& other = from.accumulators[a];
      if (other.ready != 0) {
        to.accumulators[a].ready = std::max(to.accumulators[a].ready, other.ready + shift);
      }
      if (other.last_emit != 0) to.accumulators[a].last_emit = other.last_emit + shift;
    }
  }
}

// Every queue that goes on afterwards has its loop, if only to wait. It begins as early as the
// queue is free and one interval still holds its part of the body: what follows comes one interval
// later.
void Scheduler::close_windows(const Scheduler& body, std::int64_t shift,
                              const std::vector<std::int64_t>& queue_end_before, Loop& loop) {
  for (int q = 0; q < geometry_.queue_count(); ++q) {
    const QueueWindow& own = body.windows_[index_of(q)];
    // A queue that waits for the loop before it has parked for a release would miss it.
    const std::int64_t free = std::max(queue_end_before[index_of(q)], last_release());
    const std::int64_t first = own.empty() ? free : std::max(free, own.end + shift - loop.interval);
    const std::int64_t end = first + loop.interval;
    loop.first.push_back(first);
    queue_end_[index_of(q)] = end;
    loops_end_ = std::max(loops_end_, end);
    for (std::int64_t cycle = begin_; cycle < end; ++cycle) {
      queue(q).take(cycle);
      if (q >= geometry_.mem_slices()) continue;
      for (int bank = 0; bank < geometry_.banks; ++bank) port(q, bank).take(cycle);
    }
  }
  for (int p = 0; p < geometry_.planes; ++p) {
    const std::int64_t end = queue_end_[index_of(geometry_.mxm_weights_queue(p))];
    plane(p).load_from = std::max(plane(p).load_from, end);
    plane(p).loaded = std::max(plane(p).loaded, end);
  }
}

void Scheduler::repeat_backwards(std::int64_t interval) {
  const std::int64_t from = begin_ - stream_margin(geometry_);
  for (Timeline& line : lines_) {
    for (std::int64_t cycle = line.end() - 1 - interval; cycle >= from; --cycle) {
      if (line.busy(cycle + interval)) line.take(cycle);
    }
  }
}

void Scheduler::append_loop(const Scheduler& body, std::int64_t interval, int reg,
                            const std::map<int, int>& strides) {
  std::vector<std::int64_t> ends;
  for (const Timeline& line : lines_) ends.push_back(line.end());
  std::int64_t shift = earliest_shift(body);
  while (!loop_fits(body, interval, shift, ends)) ++shift;
  // Behind the next loop, only this one may still be under way.
  begin_ = unlimited;
  for (const QueueWindow& own : body.windows_) {
    if (!own.empty()) begin_ = std::min(begin_, own.first + shift);
  }
  const std::vector<std::int64_t> queue_end_before = queue_end_;
  take_over(body, shift);
  for (const Timeline& line : lines_) horizon_ = std::max(horizon_, line.end());
  horizon_ += stream_margin(geometry_);
  loops_.push_back({reg, interval, strides, {}});
  close_windows(body, shift, queue_end_before, loops_.back());
  repeat_backwards(interval);
}

}  // namespace tandem::lpu
