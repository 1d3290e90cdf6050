#include "models/link/link_schedule.hpp"

#include <algorithm>
#include <cassert>

namespace tandem::link {

Slot LinkSchedule::reserve(Picoseconds now, Picoseconds ready, Picoseconds duration) {
  assert(ready >= now);
  const auto live = std::find_if(intervals_.begin(), intervals_.end(),
                                 [now](const Interval& taken) { return taken.end >= now; });
  intervals_.erase(intervals_.begin(), live);
  if (duration.count() == 0) return {ready, ready};
  busy_ += duration;
  Slot slot{ready, ready};
  bool started = false;
  Picoseconds at = ready;
  std::size_t i = 0;
  while (duration.count() > 0) {
    while (i < intervals_.size() && intervals_[i].end <= at) ++i;
    if (i < intervals_.size() && intervals_[i].start <= at) {
      at = intervals_[i].end;
      continue;
    }
    const Picoseconds room =
        i < intervals_.size() ? std::min(duration, intervals_[i].start - at) : duration;
    if (!started) slot.start = at;
    started = true;
    insert(i, {at, at + room});
    at += room;
    duration -= room;
    i = 0;
  }
  slot.end = at;
  return slot;
}

void LinkSchedule::insert(std::size_t position, Interval piece) {
  auto at = intervals_.begin() + static_cast<std::ptrdiff_t>(position);
  if (at != intervals_.end() && at->start == piece.end) {
    at->start = piece.start;
  } else {
    at = intervals_.insert(at, piece);
  }
  if (at != intervals_.begin() && std::prev(at)->end == at->start) {
    std::prev(at)->end = at->end;
    intervals_.erase(at);
  }
}

}  // namespace tandem::link
