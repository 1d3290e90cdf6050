// Which cycles of a resource are taken. Inside of the scheduler.
#pragma once

#include <cstdint>
#include <vector>

namespace tandem::lpu {

/// Cycles that are taken, one bit each; grows as needed. Cycles from -1024 on; with a period, any
/// cycle stands for all that lie whole periods before and behind it.
class Timeline {
 public:
  Timeline() = default;
  explicit Timeline(std::int64_t period) : period_(period) {}

  [[nodiscard]] bool busy(std::int64_t cycle) const {
    const std::size_t bit = bit_of(cycle);
    return bit / 64 < words_.size() && ((words_[bit / 64] >> (bit % 64)) & 1U) != 0;
  }
  void take(std::int64_t cycle) {
    const std::size_t bit = bit_of(cycle);
    if (bit / 64 >= words_.size()) words_.resize(bit / 64 + 64);
    words_[bit / 64] |= std::uint64_t{1} << (bit % 64);
  }
  void release(std::int64_t cycle) {
    const std::size_t bit = bit_of(cycle);
    words_[bit / 64] &= ~(std::uint64_t{1} << (bit % 64));
  }
  /// Behind the last cycle that is taken; without a period only.
  [[nodiscard]] std::int64_t end() const {
    for (std::size_t word = words_.size(); word > 0; --word) {
      for (std::size_t bit = words_[word - 1] == 0 ? 0 : 64; bit > 0; --bit) {
        if (((words_[word - 1] >> (bit - 1)) & 1U) != 0) {
          return static_cast<std::int64_t>(64 * (word - 1) + bit) - origin;
        }
      }
    }
    return -origin;
  }

 private:
  [[nodiscard]] std::size_t bit_of(std::int64_t cycle) const {
    if (period_ == 0) return static_cast<std::size_t>(cycle + origin);
    const std::int64_t phase = cycle % period_;
    return static_cast<std::size_t>(phase < 0 ? phase + period_ : phase);
  }

  static constexpr std::int64_t origin = 1024;
  std::int64_t period_ = 0;
  std::vector<std::uint64_t> words_;
};

}  // namespace tandem::lpu
