// Expands one queue into its issues, in order of cycles: what an instruction control unit does with
// NOP, Repeat, Loop, Select, Sync and the words that Ifetch brings. It knows nothing of operands.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "models/lpu/isa.hpp"
#include "sim/core/diagnostics.hpp"

namespace tandem::lpu {

/// A schedule that the hardware would execute wrongly: rule H1..H10 (or "ISA"), queue, cycle and,
/// in the message, the stream or bank. No ModelError: where the program is the compiler's, nobody
/// may take it for a chip that cannot do what was asked.
class ScheduleError : public std::runtime_error {
 public:
  ScheduleError(std::string rule, int queue, std::int64_t cycle, const std::string& message);
  [[nodiscard]] const std::string& rule() const { return rule_; }
  [[nodiscard]] int queue() const { return queue_; }
  [[nodiscard]] std::int64_t cycle() const { return cycle_; }

 private:
  std::string rule_;
  int queue_;
  std::int64_t cycle_;
};

/// One instruction leaving its queue.
struct Issue {
  std::int64_t cycle = 0;
  const Instruction* instruction = nullptr;
  std::int64_t row_offset = 0;  ///< sum of the strides of Repeat and the loops around it
  std::int64_t generated = 0;   ///< Mem: what the address generator adds where it is asked to
  std::int64_t fetched = -1;    ///< Ifetch: index of the first word that it brings; -1 = none
};

/// What a walk must know of the chip and of the program beside the words of its queue.
struct WalkSettings {
  int hac_period = 252;
  int icu_fetch = 4;
  std::size_t fetch_words = 40;  ///< words that one Ifetch brings
  /// Words in the instruction buffer at the start; more than there are = all, and Ifetch brings
  /// nothing.
  std::size_t preloaded = SIZE_MAX;
};
[[nodiscard]] WalkSettings walk_settings(const Program& program, int queue,
                                         const Geometry& geometry, int icu_fetch);

using HostRegisters = std::array<std::uint16_t, host_registers>;

/// Walks one queue from cycle 0.
///
/// Contract:
///  - `program` and `registers` outlive the walk and do not change during it
///  - while state() is Ready, issue() is the next issue; advance() moves past it
///  - while state() is Parked, parked_at() is the cycle in which the queue reached Sync; resume()
///    goes on in the given cycle
///  - structural faults (a loop body longer than its interval, a Repeat with nothing before it, too
///    deep nesting, a word that was not fetched in time) throw ScheduleError from the constructor,
///    advance() or resume()
class QueueWalk {
 public:
  enum class State : std::uint8_t { Ready, Parked, Finished };
  QueueWalk(const QueueProgram& program, const HostRegisters& registers, int queue,
            std::string queue_name, const WalkSettings& settings = {});

  [[nodiscard]] State state() const { return state_; }
  [[nodiscard]] const Issue& issue() const { return issue_; }
  [[nodiscard]] std::int64_t parked_at() const { return cursor_; }
  /// Whether nothing follows the Sync at which the queue is parked.
  [[nodiscard]] bool at_last_word() const { return pc_ + 1 >= program_->size(); }
  /// Whether a Notify has let the queue go on yet, so that host registers are latched.
  [[nodiscard]] bool released() const { return released_; }
  void advance();
  /// How often the instruction of issue() follows again, equally spaced; 0 behind a Repeat's last.
  [[nodiscard]] std::int64_t repeats_left() const { return repeats_left_; }
  /// The Repeat that repeats_left() speaks of.
  [[nodiscard]] const Instruction& repeat() const { return *repeat_; }
  /// As `times` calls of advance(), all within the Repeat, of an instruction that neither generates
  /// addresses nor fetches.
  void advance_repeat(std::int64_t times);
  void resume(std::int64_t cycle);

 private:
  struct Span {  // one loop: words [begin, end) are its body, word `end` is the Loop
    std::size_t begin;
    std::size_t end;
  };
  struct Frame {  // a loop that is being executed
    std::size_t end;
    std::size_t begin;
    std::int64_t start;  // cycle in which the first iteration began
    std::int64_t row_base;
    std::int64_t iteration;
    std::int64_t count;
  };

  struct Block {  // the block that a Select has chosen; end = 0 where none is being executed
    std::size_t end = 0;
    std::size_t resume = 0;  // word behind all blocks
    std::int64_t deadline = 0;
  };
  struct Generator {  // the slice's address generator
    std::int64_t step = 0;
    std::int64_t steps = 1;
    std::int64_t uses_per_step = 1;
    std::int64_t uses = 0;
  };

  void collect_spans();
  void check_span(const Span& span) const;
  void check_select(std::size_t at) const;
  void seek();
  bool execute_control(const Instruction& word);
  void begin_issue(const Instruction& word);
  void enter_block(const Instruction& select);
  void leave_block();
  void check_fetched() const;
  void note_issue();
  void enter_loops();
  void finish_iteration();
  void begin_repeat(const Instruction& instruction);
  [[noreturn]] void fail(const char* rule, std::int64_t cycle, const std::string& message) const;

  const QueueProgram* program_;
  const HostRegisters* registers_;
  int queue_;
  std::string queue_name_;
  std::vector<Span> spans_;  // by begin, outermost first
  WalkSettings settings_;
  std::vector<std::int64_t> fetches_;  // cycles of Ifetch
  std::vector<Frame> frames_;
  Block block_;
  Generator generator_;
  bool released_ = false;
  State state_ = State::Ready;
  Issue issue_;
  std::size_t pc_ = 0;
  std::int64_t cursor_ = 0;  // first cycle in which the queue may issue again
  std::int64_t row_offset_ = 0;
  std::int64_t repeats_left_ = 0;
  const Instruction* repeat_ = nullptr;
};

}  // namespace tandem::lpu
