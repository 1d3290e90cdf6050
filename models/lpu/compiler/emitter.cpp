#include "models/lpu/compiler/emitter.hpp"

#include <algorithm>
#include <limits>

#include "sim/core/diagnostics.hpp"

namespace tandem::lpu {
namespace {

constexpr std::int64_t longest_nop = 65535;
constexpr std::size_t shortest_run = 3;

struct Timed {
  std::int64_t cycle;
  Instruction word;
};

// Moves all rows of a MEM word.
bool is_moved(const Instruction& from, const Instruction& to, int stride) {
  Instruction moved = from;
  if (from.op == Opcode::Mem) {
    for (MemAccess& access : moved.access) {
      if (access.kind == MemAccess::Kind::None) continue;
      access.row = static_cast<std::uint16_t>(access.row + stride);
    }
  }
  return moved == to;
}

class QueueEmitter {
 public:
  QueueEmitter(const Scheduler& scheduler, int queue, std::vector<Timed> events)
      : scheduler_(scheduler), queue_(queue), events_(std::move(events)) {}

  QueueProgram emit() {
    if (queue_ == 0) add(Opcode::Notify);
    if (events_.empty() && queue_ != 0) return {};
    add(Opcode::Sync);
    for (const Segment& segment : scheduler_.segments()) {
      if (next_ >= events_.size()) break;
      cursor_ = segment.begin;
      if (segment.reg == 0) {
        emit_straight(segment);
      } else {
        emit_loop(segment);
      }
    }
    return std::move(words_);
  }

 private:
  void add(Opcode op) {
    Instruction word;
    word.op = op;
    words_.push_back(word);
  }

  void wait_until(std::int64_t cycle) {
    while (cursor_ < cycle) {
      const std::int64_t n = std::min(cycle - cursor_, longest_nop);
      Instruction word;
      word.op = Opcode::Nop;
      word.count = static_cast<std::uint16_t>(n);
      words_.push_back(word);
      cursor_ += n;
    }
  }

  // Length of the run of equal distances and strides that begins at `first`.
  std::size_t run_length(std::size_t first, std::size_t end, std::int64_t& interval,
                         int& stride) const {
    if (first + 1 >= end) return 1;
    const Timed& a = events_[first];
    const Timed& b = events_[first + 1];
    interval = b.cycle - a.cycle;
    stride = a.word.op == Opcode::Mem ? b.word.access[0].row - a.word.access[0].row : 0;
    if (interval > longest_nop || std::abs(stride) > std::numeric_limits<std::int16_t>::max()) {
      return 1;
    }
    std::size_t count = 1;
    while (first + count < end &&
           events_[first + count].cycle == events_[first + count - 1].cycle + interval &&
           is_moved(events_[first + count - 1].word, events_[first + count].word, stride)) {
      ++count;
    }
    return count;
  }

  // Events before `end`, with Repeat where it pays.
  void emit_events(std::int64_t end_cycle) {
    std::size_t end = next_;
    while (end < events_.size() && events_[end].cycle < end_cycle) ++end;
    while (next_ < end) {
      wait_until(events_[next_].cycle);
      std::int64_t interval = 0;
      int stride = 0;
      const std::size_t count = run_length(next_, end, interval, stride);
      words_.push_back(events_[next_].word);
      if (count >= shortest_run) {
        Instruction repeat;
        repeat.op = Opcode::Repeat;
        repeat.count = static_cast<std::uint16_t>(count - 1);
        repeat.interval = static_cast<std::uint16_t>(interval);
        repeat.stride = static_cast<std::int16_t>(stride);
        words_.push_back(repeat);
        next_ += count;
      } else {
        ++next_;
      }
      cursor_ = events_[next_ - 1].cycle + queue_cycles(events_[next_ - 1].word);
    }
  }

  void emit_straight(const Segment& segment) {
    emit_events(segment.end);
    if (next_ < events_.size()) wait_until(segment.end);
  }

  void emit_loop(const Segment& segment) {
    const std::size_t first_word = words_.size();
    const std::int64_t length = segment.end - segment.begin;
    if (length > longest_nop) throw ModelError("lpu.compiler: a loop body is too long");
    emit_events(segment.end);
    if (words_.size() == first_word) wait_until(segment.end);
    const auto stride = segment.strides.find(queue_);
    Instruction loop;
    loop.op = Opcode::LoopReg;
    loop.width = static_cast<std::uint16_t>(words_.size() - first_word);
    loop.interval = static_cast<std::uint16_t>(length);
    loop.reg = static_cast<std::uint16_t>(segment.reg);
    if (stride != segment.strides.end()) loop.stride = static_cast<std::int16_t>(stride->second);
    words_.push_back(loop);
    cursor_ = segment.end;
  }

  const Scheduler& scheduler_;
  int queue_;
  std::vector<Timed> events_;
  QueueProgram words_;
  std::size_t next_ = 0;
  std::int64_t cursor_ = 0;
};

// Two accesses of a slice in one cycle share a word.
std::vector<Timed> merged_words(std::vector<MemEvent> events) {
  std::sort(events.begin(), events.end(), [](const MemEvent& a, const MemEvent& b) {
    return a.cycle != b.cycle ? a.cycle < b.cycle : a.access.bank < b.access.bank;
  });
  std::vector<Timed> words;
  for (const MemEvent& event : events) {
    if (!words.empty() && words.back().cycle == event.cycle) {
      words.back().word.access[1] = event.access;
      continue;
    }
    Instruction word;
    word.op = Opcode::Mem;
    word.access[0] = event.access;
    words.push_back({event.cycle, word});
  }
  return words;
}

}  // namespace

std::vector<QueueProgram> emit_queues(const Scheduler& scheduler) {
  const Geometry& geometry = scheduler.geometry();
  const auto queues = static_cast<std::size_t>(geometry.queue_count());
  std::vector<std::vector<MemEvent>> memory(static_cast<std::size_t>(geometry.mem_slices()));
  for (const MemEvent& event : scheduler.mem_events()) {
    memory[static_cast<std::size_t>(event.slice)].push_back(event);
  }
  std::vector<std::vector<Timed>> events(queues);
  for (std::size_t slice = 0; slice < memory.size(); ++slice) {
    events[slice] = merged_words(std::move(memory[slice]));
  }
  for (const QueueEvent& event : scheduler.queue_events()) {
    events[static_cast<std::size_t>(event.queue)].push_back({event.cycle, event.instruction});
  }
  std::vector<QueueProgram> result;
  for (std::size_t queue = 0; queue < queues; ++queue) {
    std::stable_sort(events[queue].begin(), events[queue].end(),
                     [](const Timed& a, const Timed& b) { return a.cycle < b.cycle; });
    result.push_back(
        QueueEmitter(scheduler, static_cast<int>(queue), std::move(events[queue])).emit());
  }
  return result;
}

CyclePrediction predict_cycles(const Scheduler& scheduler) {
  CyclePrediction prediction;
  std::int64_t last = 0;
  for (const MemEvent& event : scheduler.mem_events()) last = std::max(last, event.cycle);
  for (const QueueEvent& event : scheduler.queue_events()) {
    last = std::max(last, event.cycle + queue_cycles(event.instruction) - 1);
  }
  // The last superlane ends superlanes cycles later (ISCA 2020, eq. 4).
  prediction.base = last + scheduler.geometry().superlanes;
  for (const Segment& segment : scheduler.segments()) {
    if (segment.reg != 0) prediction.per_iteration += segment.end - segment.begin;
  }
  return prediction;
}

std::map<int, std::int64_t> iteration_cycles(const Scheduler& scheduler) {
  std::map<int, std::int64_t> cycles;
  for (const Segment& segment : scheduler.segments()) {
    if (segment.reg != 0) cycles[segment.reg] += segment.end - segment.begin;
  }
  return cycles;
}

}  // namespace tandem::lpu
