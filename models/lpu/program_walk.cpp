#include "models/lpu/program_walk.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace tandem::lpu {

ScheduleError::ScheduleError(std::string rule, int queue, std::int64_t cycle,
                             const std::string& message)
    : std::runtime_error(message), rule_(std::move(rule)), queue_(queue), cycle_(cycle) {}

WalkSettings walk_settings(const Program& program, int queue, const Geometry& geometry,
                           int icu_fetch) {
  const auto index = static_cast<std::size_t>(queue);
  const bool ideal = program.preloaded.empty() || program.preloaded[index] == UINT16_MAX;
  const auto words =
      static_cast<std::size_t>(fetch_vectors * geometry.vector_bytes() / instruction_bytes);
  return {geometry.hac_period, icu_fetch, words, ideal ? SIZE_MAX : program.preloaded[index]};
}

QueueWalk::QueueWalk(const QueueProgram& program, const HostRegisters& registers, int queue,
                     std::string queue_name, const WalkSettings& settings)
    : program_(&program),
      registers_(&registers),
      queue_(queue),
      queue_name_(std::move(queue_name)),
      settings_(settings) {
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
    if (word.op == Opcode::Select) check_select(i);
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
    if (op == Opcode::Sync || op == Opcode::Notify || op == Opcode::Select) {
      fail("H10", 0, fmt::format("word {}: {} inside a loop", i, name_of(op)));
    }
  }
}

// Every block must begin and end within itself, and whatever follows must not look back into one.
void QueueWalk::check_select(std::size_t at) const {
  const Instruction& select = (*program_)[at];
  const std::size_t words = std::size_t{select.count} * select.width;
  const std::size_t first = at + 1;
  if (at == 0 || (*program_)[at - 1].op != Opcode::Sync) {
    fail("H10", 0, fmt::format("word {}: select does not follow a sync", at));
  }
  if (words > program_->size() - first) {
    fail("H1", 0,
         fmt::format("word {}: select among {} words where {} follow", at, words,
                     program_->size() - first));
  }
  for (std::size_t i = first; i < first + words; ++i) {
    const Instruction& word = (*program_)[i];
    const std::size_t place = (i - first) % select.width;
    if (word.op == Opcode::Sync || word.op == Opcode::Notify || word.op == Opcode::Select) {
      fail("H10", 0, fmt::format("word {}: {} inside a block", i, name_of(word.op)));
    }
    const bool loops = word.op == Opcode::Loop || word.op == Opcode::LoopReg;
    if ((place == 0 && word.op == Opcode::Repeat) || (loops && word.width > place)) {
      fail("H1", 0, fmt::format("word {}: {} reaches out of its block", i, name_of(word.op)));
    }
  }
  for (std::size_t i = first + words; i < program_->size(); ++i) {
    const Instruction& word = (*program_)[i];
    const bool loops = word.op == Opcode::Loop || word.op == Opcode::LoopReg;
    if ((i == first + words && word.op == Opcode::Repeat) ||
        (loops && word.width > i - first - words)) {
      fail("H1", 0, fmt::format("word {}: {} reaches into a block", i, name_of(word.op)));
    }
    if (word.op == Opcode::Sync) return;
  }
}

void QueueWalk::advance() {
  if (repeats_left_ > 0) {
    --repeats_left_;
    issue_.cycle += repeat_->interval;
    issue_.row_offset += repeat_->stride;
    cursor_ = issue_.cycle + queue_cycles(*issue_.instruction);
    note_issue();
    return;
  }
  seek();
}

void QueueWalk::advance_repeat(std::int64_t times) {
  repeats_left_ -= times;
  issue_.cycle += times * repeat_->interval;
  issue_.row_offset += times * repeat_->stride;
  cursor_ = issue_.cycle + queue_cycles(*issue_.instruction);
}

void QueueWalk::resume(std::int64_t cycle) {
  cursor_ = cycle;
  released_ = true;
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
    if (loop.op == Opcode::LoopReg && !released_) {
      fail("H10", cursor_, "a host register is used before the first Sync of the queue");
    }
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

// Generators and fetches count issues, those of Repeat included.
void QueueWalk::note_issue() {
  const Instruction& word = *issue_.instruction;
  issue_.generated = 0;
  issue_.fetched = -1;
  if (word.op == Opcode::Mem) {
    if (!word.access[0].generated && !word.access[1].generated) return;
    const std::int64_t step = generator_.uses++ / generator_.uses_per_step % generator_.steps;
    issue_.generated = generator_.step * step;
  } else if (word.op == Opcode::AGen) {
    generator_ = {word.stride, std::max<std::int64_t>(word.count, 1),
                  std::max<std::int64_t>(word.width, 1), 0};
  } else if (word.op == Opcode::Ifetch && settings_.preloaded < program_->size()) {
    issue_.fetched =
        static_cast<std::int64_t>(settings_.preloaded + fetches_.size() * settings_.fetch_words);
    if (issue_.fetched >= static_cast<std::int64_t>(program_->size())) {
      fail("H1", issue_.cycle, "ifetch beyond the last word of the queue");
    }
    fetches_.push_back(issue_.cycle);
  }
}

void QueueWalk::check_fetched() const {
  if (pc_ < settings_.preloaded) return;
  const std::size_t block = (pc_ - settings_.preloaded) / settings_.fetch_words;
  if (block >= fetches_.size()) {
    fail("H1", cursor_, fmt::format("word {} is reached and no ifetch has brought it", pc_));
  }
  const std::int64_t ready = fetches_[block] + settings_.icu_fetch;
  if (cursor_ < ready) {
    fail("H1", cursor_, fmt::format("word {} is reached; it arrives in cycle {}", pc_, ready));
  }
}

void QueueWalk::enter_block(const Instruction& select) {
  const std::size_t choice = (*registers_)[select.reg];
  if (choice >= select.count) {
    fail("H10", cursor_, fmt::format("select of block {} among {}", choice, select.count));
  }
  const std::size_t first = pc_ + 1;
  const std::size_t width = select.width;
  block_ = {first + (choice + 1) * width, first + select.count * width, cursor_ + select.interval};
  pc_ = first + choice * width;
}

void QueueWalk::leave_block() {
  if (cursor_ > block_.deadline) {
    fail("H1", block_.deadline, "a block is longer than the interval of its select");
  }
  cursor_ = block_.deadline;
  pc_ = block_.resume;
  block_ = {};
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
  note_issue();
}

void QueueWalk::begin_issue(const Instruction& word) {
  issue_ = {cursor_, &word, row_offset_};
  cursor_ += queue_cycles(word);
  ++pc_;
  note_issue();
}

// True where the queue stops at the word: an issue, or a Sync.
bool QueueWalk::execute_control(const Instruction& word) {
  switch (word.op) {
    case Opcode::Nop:
    case Opcode::RuntimeDeskew:
      cursor_ += word.count;
      ++pc_;
      return false;
    case Opcode::Deskew:
      cursor_ = (cursor_ / settings_.hac_period + 1) * settings_.hac_period;
      ++pc_;
      return false;
    case Opcode::Repeat:
      begin_repeat(word);
      return word.count != 0;
    case Opcode::Loop:
    case Opcode::LoopReg:
      finish_iteration();
      return false;
    case Opcode::Select:
      enter_block(word);
      return false;
    case Opcode::Sync:
      state_ = State::Parked;
      return true;
    default:
      begin_issue(word);
      return true;
  }
}

void QueueWalk::seek() {
  state_ = State::Ready;
  for (;;) {
    if (block_.end != 0 && pc_ == block_.end) leave_block();
    if (pc_ >= program_->size()) {
      state_ = State::Finished;
      return;
    }
    check_fetched();
    enter_loops();
    if (execute_control((*program_)[pc_])) return;
  }
}

}  // namespace tandem::lpu
