#include "models/lpu/program_walk.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace tandem::lpu {

ScheduleError::ScheduleError(std::string rule, int queue, std::int64_t cycle,
                             const std::string& message)
    : ModelError(message), rule_(std::move(rule)), queue_(queue), cycle_(cycle) {}

QueueWalk::QueueWalk(const QueueProgram& program, const HostRegisters& registers, int queue,
                     std::string queue_name)
    : program_(&program),
      registers_(&registers),
      queue_(queue),
      queue_name_(std::move(queue_name)) {
  collect_spans();
  seek();
}

void QueueWalk::fail(const char* rule, std::int64_t cycle, const std::string& message) const {
  throw ScheduleError(rule, queue_, cycle,
                      fmt::format("lpu {} at cycle {}: {}: {}", queue_name_, cycle, rule, message));
}

void QueueWalk::collect_spans() {
  for (std::size_t i = 0; i < program_->size(); ++i) {
    const Instruction& word = (*program_)[i];
    if (word.op != Opcode::Loop && word.op != Opcode::LoopReg) continue;
    if (word.width == 0 || word.width > i) {
      fail("H1", 0,
           fmt::format("word {}: a loop over {} words where {} precede it", i, word.width, i));
    }
    spans_.push_back({i - word.width, i});
    check_span(spans_.back());
  }
  // Inner loops end first, so a later span must hold each earlier one whole or not at all.
  std::vector<Span> open;
  for (const Span& span : spans_) {
    while (!open.empty() && open.back().begin >= span.begin) open.pop_back();
    if (!open.empty() && open.back().end >= span.begin) {
      fail("H1", 0, fmt::format("word {}: loop bodies overlap without nesting", span.end));
    }
    open.push_back(span);
  }
  std::sort(spans_.begin(), spans_.end(), [](const Span& a, const Span& b) {
    return a.begin != b.begin ? a.begin < b.begin : a.end > b.end;
  });
}

void QueueWalk::check_span(const Span& span) const {
  if ((*program_)[span.begin].op == Opcode::Repeat) {
    fail("H1", 0, fmt::format("word {}: a loop body begins with Repeat", span.begin));
  }
  for (std::size_t i = span.begin; i < span.end; ++i) {
    const Opcode op = (*program_)[i].op;
    if (op == Opcode::Sync || op == Opcode::Notify) {
      fail("H10", 0, fmt::format("word {}: {} inside a loop", i, name_of(op)));
    }
  }
}

void QueueWalk::advance() {
  if (repeats_left_ > 0) {
    --repeats_left_;
    issue_.cycle += repeat_->interval;
    issue_.row_offset += repeat_->stride;
    cursor_ = issue_.cycle + queue_cycles(*issue_.instruction);
    return;
  }
  seek();
}

void QueueWalk::resume(std::int64_t cycle) {
  cursor_ = cycle;
  ++pc_;
  seek();
}

void QueueWalk::enter_loops() {
  if (spans_.empty()) return;
  auto span = std::lower_bound(spans_.begin(), spans_.end(), pc_,
                               [](const Span& s, std::size_t pc) { return s.begin < pc; });
  const std::size_t inside = frames_.empty() ? program_->size() : frames_.back().end;
  for (; span != spans_.end() && span->begin == pc_; ++span) {
    if (span->end >= inside) continue;  // already being executed
    const Instruction& loop = (*program_)[span->end];
    const std::int64_t count =
        loop.op == Opcode::LoopReg ? (*registers_)[loop.reg] : std::int64_t{loop.count};
    frames_.push_back({span->end, span->begin, cursor_, row_offset_, 0, count});
    if (frames_.size() > static_cast<std::size_t>(loop_depth_limit)) {
      fail("H1", cursor_, fmt::format("loops nest deeper than {}", loop_depth_limit));
    }
  }
}

void QueueWalk::finish_iteration() {
  Frame& frame = frames_.back();
  const Instruction& loop = (*program_)[frame.end];
  ++frame.iteration;
  const std::int64_t next = frame.start + loop.interval * frame.iteration;
  if (cursor_ > next) {
    fail("H1", next,
         fmt::format("a loop body of {} cycles is longer than its interval of {}",
                     cursor_ - next + loop.interval, loop.interval));
  }
  cursor_ = next;
  if (frame.iteration <= frame.count) {
    row_offset_ = frame.row_base + loop.stride * frame.iteration;
    pc_ = frame.begin;
    return;
  }
  row_offset_ = frame.row_base;
  pc_ = frame.end + 1;
  frames_.pop_back();
}

void QueueWalk::begin_repeat(const Instruction& instruction) {
  const bool after_issue = pc_ > 0 && !is_queue_control((*program_)[pc_ - 1].op) &&
                           (*program_)[pc_ - 1].op != Opcode::Notify;
  if (!after_issue) fail("H1", cursor_, "Repeat does not follow an instruction that issues");
  ++pc_;
  if (instruction.count == 0) return;
  if (issue_.cycle + instruction.interval < cursor_) {
    fail("H1", issue_.cycle + instruction.interval,
         "Repeat issues again while its instruction still occupies the queue");
  }
  repeat_ = &instruction;
  repeats_left_ = instruction.count - 1;
  issue_.cycle += instruction.interval;
  issue_.row_offset += instruction.stride;
  cursor_ = issue_.cycle + queue_cycles(*issue_.instruction);
}

void QueueWalk::seek() {
  for (;;) {
    if (pc_ >= program_->size()) {
      state_ = State::Finished;
      return;
    }
    enter_loops();
    const Instruction& word = (*program_)[pc_];
    switch (word.op) {
      case Opcode::Nop:
        cursor_ += word.count;
        ++pc_;
        break;
      case Opcode::Repeat: {
        begin_repeat(word);
        if (word.count == 0) break;
        state_ = State::Ready;
        return;
      }
      case Opcode::Loop:
      case Opcode::LoopReg:
        finish_iteration();
        break;
      case Opcode::Sync:
        state_ = State::Parked;
        return;
      default:
        issue_ = {cursor_, &word, row_offset_};
        cursor_ += queue_cycles(word);
        ++pc_;
        state_ = State::Ready;
        return;
    }
  }
}

}  // namespace tandem::lpu
