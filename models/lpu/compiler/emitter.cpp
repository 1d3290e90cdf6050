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
  std::uint16_t mark;
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

  /// The words; marks() tells whose they are.
  QueueProgram emit() {
    if (queue_ == 0) add(Opcode::Notify);
    if (events_.empty() && queue_ != 0) return {};
    add(Opcode::Sync);
    cursor_ = scheduler_.first_cycle();
    for (const Loop& loop : scheduler_.loops()) {
      emit_events(loop.first[static_cast<std::size_t>(queue_)]);
      if (next_ >= events_.size()) break;
      emit_loop(loop);
    }
    emit_events(std::numeric_limits<std::int64_t>::max());
    return std::move(words_);
  }
  [[nodiscard]] std::vector<OperatorSpan> marks() { return std::move(marks_); }

 private:
  void add(Opcode op) {
    Instruction word;
    word.op = op;
    words_.push_back(word);
  }

  void note_operator(std::uint16_t mark) {
    if (mark == (marks_.empty() ? no_operator : marks_.back().mark)) return;
    marks_.push_back({static_cast<std::uint32_t>(words_.size()), mark});
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

  // Events before `end`. A queue that goes on behind a release parks for it.
  void emit_events(std::int64_t end_cycle) {
    const auto& releases = scheduler_.releases();
    for (; release_ < releases.size() && releases[release_].cycle <= end_cycle; ++release_) {
      emit_run(releases[release_].cycle);
      if (next_ >= events_.size()) return;
      add(Opcode::Sync);
      cursor_ = releases[release_].cycle;
    }
    emit_run(end_cycle);
  }

  // The same between releases, with Repeat where it pays.
  void emit_run(std::int64_t end_cycle) {
    std::size_t end = next_;
    while (end < events_.size() && events_[end].cycle < end_cycle) ++end;
    while (next_ < end) {
      wait_until(events_[next_].cycle);
      std::int64_t interval = 0;
      int stride = 0;
      const std::size_t count = run_length(next_, end, interval, stride);
      note_operator(events_[next_].mark);
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

  // A queue that has nothing to do in a loop waits for it.
  void emit_loop(const Loop& loop) {
    const std::int64_t first = loop.first[static_cast<std::size_t>(queue_)];
    wait_until(first);
    const std::size_t first_word = words_.size();
    const std::int64_t end = first + loop.interval;
    if (loop.interval > longest_nop) throw ModelError("lpu.compiler: a loop body is too long");
    emit_events(end);
    if (words_.size() == first_word) wait_until(end);
    const auto stride = loop.strides.find(queue_);
    Instruction word;
    word.op = Opcode::LoopReg;
    word.width = static_cast<std::uint16_t>(words_.size() - first_word);
    word.interval = static_cast<std::uint16_t>(loop.interval);
    word.reg = static_cast<std::uint16_t>(loop.reg);
    if (stride != loop.strides.end()) word.stride = static_cast<std::int16_t>(stride->second);
    words_.push_back(word);
    cursor_ = end;
  }

  const Scheduler& scheduler_;
  int queue_;
  std::vector<Timed> events_;
  QueueProgram words_;
  std::vector<OperatorSpan> marks_;
  std::size_t next_ = 0;
  std::size_t release_ = 0;  ///< the next one
  std::int64_t cursor_ = 0;
};

struct MarkedAccess {
  MemEvent event;
  std::uint16_t mark;
};

// Two accesses of a slice in one cycle share a word, which belongs to the operator of the first.
std::vector<Timed> merged_words(std::vector<MarkedAccess> accesses) {
  std::sort(accesses.begin(), accesses.end(), [](const MarkedAccess& a, const MarkedAccess& b) {
    return a.event.cycle != b.event.cycle ? a.event.cycle < b.event.cycle
                                          : a.event.access.bank < b.event.access.bank;
  });
  std::vector<Timed> words;
  for (const auto& [event, mark] : accesses) {
    if (!words.empty() && words.back().cycle == event.cycle) {
      words.back().word.access[1] = event.access;
      continue;
    }
    Instruction word;
    word.op = Opcode::Mem;
    word.access[0] = event.access;
    words.push_back({event.cycle, word, mark});
  }
  return words;
}

// The operator that an event belongs to; events are asked for in their order.
class OperatorCursor {
 public:
  OperatorCursor(const std::vector<OperatorMark>& marks, std::size_t OperatorMark::*first)
      : marks_(marks), first_(first) {}
  std::uint16_t mark_of(std::size_t event) {
    while (next_ < marks_.size() && marks_[next_].*first_ <= event) ++next_;
    return next_ == 0 ? no_operator : static_cast<std::uint16_t>(next_ - 1);
  }

 private:
  const std::vector<OperatorMark>& marks_;
  std::size_t OperatorMark::*first_;
  std::size_t next_ = 0;
};

// What every queue issues, not yet in order of cycles.
std::vector<std::vector<Timed>> events_by_queue(const Scheduler& scheduler) {
  const Geometry& geometry = scheduler.geometry();
  std::vector<std::vector<MarkedAccess>> memory(static_cast<std::size_t>(geometry.mem_slices()));
  OperatorCursor owner(scheduler.operators(), &OperatorMark::mem_events);
  for (std::size_t i = 0; i < scheduler.mem_events().size(); ++i) {
    const MemEvent& event = scheduler.mem_events()[i];
    memory[static_cast<std::size_t>(event.slice)].push_back({event, owner.mark_of(i)});
  }
  std::vector<std::vector<Timed>> events(static_cast<std::size_t>(geometry.queue_count()));
  for (std::size_t slice = 0; slice < memory.size(); ++slice) {
    events[slice] = merged_words(std::move(memory[slice]));
  }
  OperatorCursor queue_owner(scheduler.operators(), &OperatorMark::queue_events);
  for (std::size_t i = 0; i < scheduler.queue_events().size(); ++i) {
    const QueueEvent& event = scheduler.queue_events()[i];
    events[static_cast<std::size_t>(event.queue)].push_back(
        {event.cycle, event.instruction, queue_owner.mark_of(i)});
  }
  return events;
}

}  // namespace

void emit_queues(const Scheduler& scheduler, Program& program) {
  program.queues.clear();
  program.marks = {};
  for (const OperatorMark& mark : scheduler.operators()) {
    program.marks.operators.push_back(mark.name);
  }
  std::vector<std::vector<Timed>> events = events_by_queue(scheduler);
  for (std::size_t queue = 0; queue < events.size(); ++queue) {
    std::stable_sort(events[queue].begin(), events[queue].end(),
                     [](const Timed& a, const Timed& b) { return a.cycle < b.cycle; });
    QueueEmitter emitter(scheduler, static_cast<int>(queue), std::move(events[queue]));
    program.queues.push_back(emitter.emit());
    if (!program.marks.operators.empty()) program.marks.queues.push_back(emitter.marks());
  }
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
  for (const Loop& loop : scheduler.loops()) prediction.per_iteration += loop.interval;
  return prediction;
}

std::map<int, std::int64_t> iteration_cycles(const Scheduler& scheduler) {
  std::map<int, std::int64_t> cycles;
  for (const Loop& loop : scheduler.loops()) cycles[loop.reg] += loop.interval;
  return cycles;
}

}  // namespace tandem::lpu
