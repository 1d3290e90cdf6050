// Shells from which modules of a simulated system derive, and the mailboxes between them. Includes
// SystemC: only for writers of modules.
#pragma once

#include <functional>
#include <optional>
#include <queue>
#include <systemc>
#include <utility>
#include <vector>

#include "sim/core/calendar_queue.hpp"
#include "sim/core/diagnostics.hpp"
#include "sim/core/units.hpp"
#include "sim/kernel/session.hpp"

namespace tandem {

/// A part of a simulated system: sleeps until a time it asked for, then does all that is due.
///
/// Contract:
///  - One SystemC process (an SC_METHOD); the limit of a module is eight.
///  - on_wake() is called once for every distinct time asked for, in order; asking for the present
///    calls it again in the same instant, after the processes that are due now.
///  - What on_wake() throws comes out of Session::run().
class Module : public sc_core::sc_module {
 public:
  /// Throws ModelError when the session has a module of that name.
  /// The name is taken by value so that SystemC's scope of this module stays open in the
  /// constructor.
  Module(Session& session, sc_core::sc_module_name name);
  ~Module() override = default;
  /// Throws ModelError when `time` has passed.
  void wake_at(Picoseconds time);

 protected:
  virtual void on_wake() = 0;
  [[nodiscard]] Picoseconds now() const { return session_.now(); }
  [[nodiscard]] Session& session() const { return session_; }

 private:
  void activate();
  void arm();

  Session& session_;
  sc_core::sc_event wake_;
  std::priority_queue<Picoseconds, std::vector<Picoseconds>, std::greater<>> due_;
  std::optional<Picoseconds> armed_;  ///< time of the notification that SystemC has
};

/// Values on their way to a module, each delivered at its exact time in (time, order of posting).
/// The receiver is woken and takes what is due.
template <class T>
class Mailbox {
 public:
  explicit Mailbox(Module& receiver) : receiver_(receiver) {}
  /// Throws ModelError when `time` has passed.
  void post(Picoseconds time, T value) {
    receiver_.wake_at(time);
    queue_.push(time, Phase::Complete, std::move(value));
  }
  /// The next value that is due at `now`, if any.
  [[nodiscard]] std::optional<T> take(Picoseconds now) {
    if (queue_.empty() || queue_.next_time() > now) return std::nullopt;
    return std::move(queue_.pop().event);
  }
  [[nodiscard]] bool empty() const { return queue_.empty(); }

 private:
  Module& receiver_;
  CalendarQueue<T> queue_;
};

}  // namespace tandem
