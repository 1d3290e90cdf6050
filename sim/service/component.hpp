// The parts of a service and what moves time for them. A component is an ordinary object that acts
// when it is woken; who wakes it (a plain calendar, or SystemC) is no concern of it.
#pragma once

#include <cstddef>

#include "sim/core/calendar_queue.hpp"
#include "sim/core/units.hpp"

namespace tandem {

/// A part of a service: source, router, replica, link.
class Component {
 public:
  virtual ~Component() = default;
  /// Does what is due now in this phase. May be called when nothing is due.
  virtual void act(Picoseconds now, Phase phase) = 0;
};

/// Where components ask to be woken.
///
/// Contract: act(time, phase) comes for every wish, in the total order (time, phase, order of the
/// wishes); wishes are not before the current time.
class Agenda {
 public:
  virtual ~Agenda() = default;
  virtual void wake(Component& component, Picoseconds time, Phase phase) = 0;
};

/// A plain calendar: for tests of components, and the yardstick for other agendas.
class CalendarAgenda final : public Agenda {
 public:
  void wake(Component& component, Picoseconds time, Phase phase) override {
    queue_.push(time, phase, &component);
  }
  void run() {
    while (!queue_.empty()) {
      const auto entry = queue_.pop();
      entry.event->act(entry.time, entry.phase());
    }
  }

 private:
  CalendarQueue<Component*> queue_;
};

}  // namespace tandem
