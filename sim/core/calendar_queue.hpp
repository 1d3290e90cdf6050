// The event queue inside a chip: a total order of (time, phase, sequence), no virtual calls, no
// allocation per event once warm.
#pragma once

#include <algorithm>
#include <cassert>
#include <cstdint>
#include <vector>

#include "sim/core/units.hpp"

namespace tandem {

/// Order of events that fall on the same picosecond: what is produced is seen before it is used,
/// and resources are freed before they are asked for.
enum class Phase : std::uint8_t { Complete, Release, Issue };

/// Pending events of payload type `Event` (a small trivially copyable value), popped in the total
/// order (time, phase, sequence of push).
///
/// Contract: an event may not be pushed before the time of the last one popped.
template <class Event>
class CalendarQueue {
 public:
  struct Entry {
    Picoseconds time;
    Phase phase;
    std::uint64_t sequence;
    Event event;
  };

  void push(Picoseconds time, Phase phase, Event event) {
    assert(time >= now_);
    heap_.push_back({time, phase, next_sequence_++, event});
    std::push_heap(heap_.begin(), heap_.end(), Later{});
  }
  Entry pop() {
    std::pop_heap(heap_.begin(), heap_.end(), Later{});
    Entry entry = heap_.back();
    heap_.pop_back();
    now_ = entry.time;
    return entry;
  }
  [[nodiscard]] bool empty() const { return heap_.empty(); }
  [[nodiscard]] std::size_t size() const { return heap_.size(); }
  [[nodiscard]] Picoseconds next_time() const { return heap_.front().time; }
  [[nodiscard]] Picoseconds now() const { return now_; }
  void clear() {
    heap_.clear();
    now_ = Picoseconds(0);
    next_sequence_ = 0;
  }

 private:
  /// A type of its own: calls to it are inlined into the heap's loops.
  struct Later {
    bool operator()(const Entry& a, const Entry& b) const {
      if (a.time != b.time) return a.time > b.time;
      if (a.phase != b.phase) return a.phase > b.phase;
      return a.sequence > b.sequence;
    }
  };

  std::vector<Entry> heap_;
  std::uint64_t next_sequence_ = 0;
  Picoseconds now_{0};
};

}  // namespace tandem
