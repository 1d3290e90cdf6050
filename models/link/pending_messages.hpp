// Messages at one direction of a link. A plain object without events.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "sim/core/units.hpp"

namespace tandem::link {

using MessageId = std::int64_t;

/// Messages whose trains a link has taken, each until the last of them so far leaves it.
///
/// Contract: calls come with `now` not decreasing.
class PendingMessages {
 public:
  /// A train of message `id` leaves at `leaves`; the latest of its trains before left, or leaves,
  /// at `before` (any time that has passed where there was none).
  void add(MessageId id, Picoseconds leaves, Picoseconds before) {
    if (leaves <= before) return;
    forget(id, before);
    const auto place =
        std::upper_bound(begin(), trains_.end(), leaves,
                         [](Picoseconds time, const Train& train) { return time < train.leaves; });
    trains_.insert(place, {leaves, id, true});
    ++messages_;
  }
  /// What has left by `now` is no longer there.
  void let_go(Picoseconds now) {
    while (gone_ < trains_.size() && trains_[gone_].leaves <= now) {
      messages_ -= trains_[gone_++].is_last ? 1 : 0;
    }
    if (gone_ * 2 > trains_.size()) {
      trains_.erase(trains_.begin(), begin());
      gone_ = 0;
    }
  }
  [[nodiscard]] std::int64_t count() const { return messages_; }

 private:
  struct Train {
    Picoseconds leaves;
    MessageId message;
    bool is_last;  ///< of its message so far
  };
  [[nodiscard]] std::vector<Train>::iterator begin() {
    return trains_.begin() + static_cast<std::ptrdiff_t>(gone_);
  }
  /// The message's last train, at `leaves`, is its last no more.
  void forget(MessageId id, Picoseconds leaves) {
    auto train =
        std::lower_bound(begin(), trains_.end(), leaves,
                         [](const Train& one, Picoseconds time) { return one.leaves < time; });
    for (; train != trains_.end() && train->leaves == leaves; ++train) {
      if (train->message != id || !train->is_last) continue;
      train->is_last = false;
      --messages_;
      return;
    }
  }

  std::vector<Train> trains_;  // ascending by when they leave
  std::size_t gone_ = 0;       // of them, at the front
  std::int64_t messages_ = 0;
};

}  // namespace tandem::link
