// The event queue inside a chip: a total order of (time, phase, sequence), no virtual calls, no
// allocation per event once warm.
#pragma once

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <utility>
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
    std::uint64_t order;  ///< phase above sequence of push
    Event event;
    [[nodiscard]] Phase phase() const { return static_cast<Phase>(order >> sequence_bits); }
    [[nodiscard]] bool is_before(const Entry& other) const {
      return time != other.time ? time < other.time : order < other.order;
    }
  };

  void push(Picoseconds time, Phase phase, Event event) {
    assert(time >= now_);
    const std::uint64_t order = static_cast<std::uint64_t>(phase) << sequence_bits;
    heap_.push_back({time, order | next_sequence_++, std::move(event)});
    rise();
  }
  Entry pop() {
    Entry first = std::move(heap_.front());
    Entry last = std::move(heap_.back());
    heap_.pop_back();
    if (!heap_.empty()) sink(std::move(last));
    now_ = first.time;
    return first;
  }
  [[nodiscard]] bool empty() const { return heap_.empty(); }
  [[nodiscard]] std::size_t size() const { return heap_.size(); }
  [[nodiscard]] Picoseconds next_time() const { return heap_.front().time; }
  /// What pop() would give.
  [[nodiscard]] const Entry& front() const { return heap_.front(); }
  [[nodiscard]] Picoseconds now() const { return now_; }
  void clear() {
    heap_.clear();
    now_ = Picoseconds(0);
    next_sequence_ = 0;
  }

 private:
  static constexpr int sequence_bits = 62;
  /// Children per place of the heap: half as many levels as with two, and the children lie together
  /// in memory.
  static constexpr std::size_t children = 4;

  /// The last entry moves up to its place.
  void rise() {
    Entry entry = std::move(heap_.back());
    std::size_t place = heap_.size() - 1;
    while (place > 0) {
      const std::size_t parent = (place - 1) / children;
      if (!entry.is_before(heap_[parent])) break;
      heap_[place] = std::move(heap_[parent]);
      place = parent;
    }
    heap_[place] = std::move(entry);
  }

  /// `entry` moves from the first place down to its own.
  void sink(Entry entry) {
    std::size_t place = 0;
    for (;;) {
      const std::size_t begin = place * children + 1;
      if (begin >= heap_.size()) break;
      const std::size_t end = std::min(begin + children, heap_.size());
      std::size_t least = begin;
      for (std::size_t child = begin + 1; child < end; ++child) {
        if (heap_[child].is_before(heap_[least])) least = child;
      }
      if (!heap_[least].is_before(entry)) break;
      heap_[place] = std::move(heap_[least]);
      place = least;
    }
    heap_[place] = std::move(entry);
  }

  std::vector<Entry> heap_;
  std::uint64_t next_sequence_ = 0;
  Picoseconds now_{0};
};

}  // namespace tandem
