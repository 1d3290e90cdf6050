// When each queue issues next: a wheel of cycles with one bit per queue, so that the next issue in
// the order (cycle, phase, queue) costs a few instructions however many queues wait.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

namespace tandem::lpu {

/// A set of (cycle, phase, queue), each queue in it at most once.
///
/// Contract: push() never names a cycle before the one that next_cycle() gave last.
class IssueWheel {
 public:
  explicit IssueWheel(int queues)
      : words_((static_cast<std::size_t>(queues) + 63) / 64),
        bits_(slots * 2 * words_),
        used_(slots) {}

  void clear() {
    std::fill(bits_.begin(), bits_.end(), 0);
    std::fill(used_.begin(), used_.end(), std::uint8_t{0});
    far_.clear();
    near_ = 0;
    cycle_ = 0;
  }

  [[nodiscard]] bool empty() const { return near_ == 0 && far_.empty(); }

  /// `late`: after all queues of the cycle that are not.
  void push(std::int64_t cycle, bool late, int queue) {
    if (cycle - cycle_ >= static_cast<std::int64_t>(slots)) {
      far_.push_back({cycle, queue * 2 + (late ? 1 : 0)});
      std::push_heap(far_.begin(), far_.end(), std::greater<>());
      return;
    }
    set(cycle, late, queue);
  }

  /// First cycle in which a queue issues, or `limit` where that comes first.
  [[nodiscard]] std::int64_t next_cycle(std::int64_t limit) {
    if (near_ == 0) {
      if (far_.empty() || far_.front().first >= limit) return limit;
      cycle_ = far_.front().first;
    }
    bring_near();
    while (used_[slot(cycle_)] == 0) {
      if (cycle_ + 1 >= limit) return limit;
      ++cycle_;
      if (!far_.empty()) bring_near();
    }
    return std::min(cycle_, limit);
  }

  /// Takes the next queue of the cycle that next_cycle() gave; -1 where it has none left.
  int pop() {
    std::uint64_t* bits = &bits_[slot(cycle_) * 2 * words_];
    for (std::size_t word = 0; word < 2 * words_; ++word) {
      if (bits[word] == 0) continue;
      const int bit = std::countr_zero(bits[word]);
      bits[word] &= bits[word] - 1;
      --near_;
      const std::size_t within = word < words_ ? word : word - words_;
      return static_cast<int>(64 * within) + bit;
    }
    used_[slot(cycle_)] = 0;
    return -1;
  }

 private:
  static constexpr std::size_t slots = 256;
  static std::size_t slot(std::int64_t cycle) {
    return static_cast<std::size_t>(cycle) & (slots - 1);
  }
  void set(std::int64_t cycle, bool late, int queue) {
    const std::size_t base = (slot(cycle) * 2 + (late ? 1 : 0)) * words_;
    bits_[base + static_cast<std::size_t>(queue) / 64] |= std::uint64_t{1} << (queue % 64);
    used_[slot(cycle)] = 1;
    ++near_;
  }
  void bring_near() {
    while (!far_.empty() && far_.front().first - cycle_ < static_cast<std::int64_t>(slots)) {
      const auto [cycle, key] = far_.front();
      std::pop_heap(far_.begin(), far_.end(), std::greater<>());
      far_.pop_back();
      set(cycle, key % 2 != 0, key / 2);
    }
  }

  std::size_t words_;
  std::vector<std::uint64_t> bits_;  // [slot][phase][word]
  std::vector<std::uint8_t> used_;   // whether a slot may hold bits
  std::vector<std::pair<std::int64_t, int>> far_;
  std::size_t near_ = 0;
  std::int64_t cycle_ = 0;
};

}  // namespace tandem::lpu
