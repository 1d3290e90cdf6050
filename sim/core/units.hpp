// Strong unit types. A quantity leaves its type only through count(); two different quantities do
// not add. Only the products listed here exist.
#pragma once

#include <cmath>
#include <compare>
#include <cstdint>

namespace tandem {

/// A number that knows what it counts. Same size and speed as `Rep`.
template <class Tag, class Rep>
class Quantity {
 public:
  using rep = Rep;
  constexpr Quantity() = default;
  constexpr explicit Quantity(Rep count) : count_(count) {}
  [[nodiscard]] constexpr Rep count() const { return count_; }
  constexpr auto operator<=>(const Quantity&) const = default;
  constexpr Quantity& operator+=(Quantity other) {
    count_ += other.count_;
    return *this;
  }
  constexpr Quantity& operator-=(Quantity other) {
    count_ -= other.count_;
    return *this;
  }
  friend constexpr Quantity operator+(Quantity a, Quantity b) { return a += b; }
  friend constexpr Quantity operator-(Quantity a, Quantity b) { return a -= b; }
  friend constexpr Quantity operator*(Quantity a, Rep n) { return Quantity(a.count_ * n); }
  friend constexpr Quantity operator*(Rep n, Quantity a) { return Quantity(a.count_ * n); }
  friend constexpr Quantity operator/(Quantity a, Rep n) { return Quantity(a.count_ / n); }
  /// Ratio of two like quantities, as a plain number.
  friend constexpr double operator/(Quantity a, Quantity b) {
    return static_cast<double>(a.count_) / static_cast<double>(b.count_);
  }

 private:
  Rep count_{};
};

using Picoseconds = Quantity<struct PicosecondsTag, std::int64_t>;  ///< simulated time, +-106 days
using Cycles = Quantity<struct CyclesTag, std::int64_t>;            ///< of one named clock
using Bytes = Quantity<struct BytesTag, std::int64_t>;
using Flops = Quantity<struct FlopsTag, std::int64_t>;  ///< a multiply-add counts two
using BytesPerSecond = Quantity<struct BytesPerSecondTag, double>;
using FlopsPerSecond = Quantity<struct FlopsPerSecondTag, double>;
using Hertz = Quantity<struct HertzTag, double>;
using Joules = Quantity<struct JoulesTag, double>;
using Watts = Quantity<struct WattsTag, double>;

inline constexpr double picoseconds_per_second = 1e12;

/// Time to move `amount` at `rate`, rounded up so that no transfer is free.
[[nodiscard]] inline Picoseconds operator/(Bytes amount, BytesPerSecond rate) {
  return Picoseconds(static_cast<std::int64_t>(
      std::ceil(static_cast<double>(amount.count()) * picoseconds_per_second / rate.count())));
}
/// Time to do `work` at `rate`, rounded up.
[[nodiscard]] inline Picoseconds operator/(Flops work, FlopsPerSecond rate) {
  return Picoseconds(static_cast<std::int64_t>(
      std::ceil(static_cast<double>(work.count()) * picoseconds_per_second / rate.count())));
}
[[nodiscard]] constexpr double to_seconds(Picoseconds t) {
  return static_cast<double>(t.count()) / picoseconds_per_second;
}
[[nodiscard]] constexpr double to_milliseconds(Picoseconds t) {
  return static_cast<double>(t.count()) / 1e9;
}
[[nodiscard]] inline Picoseconds from_seconds(double seconds) {
  return Picoseconds(static_cast<std::int64_t>(std::llround(seconds * picoseconds_per_second)));
}

/// Converts between the cycles of one clock and simulated time. Cycle n starts at
/// round_up(n / frequency), so equal counts of cycles always give equal times.
class ClockDomain {
 public:
  explicit ClockDomain(Hertz frequency) : frequency_(frequency) {}
  [[nodiscard]] Hertz frequency() const { return frequency_; }
  [[nodiscard]] Picoseconds time_of(Cycles cycles) const {
    return Picoseconds(static_cast<std::int64_t>(std::ceil(
        static_cast<double>(cycles.count()) * picoseconds_per_second / frequency_.count())));
  }
  /// Whole cycles that have started by `time`, rounded up.
  [[nodiscard]] Cycles cycles_in(Picoseconds time) const {
    return Cycles(static_cast<std::int64_t>(std::ceil(
        static_cast<double>(time.count()) * frequency_.count() / picoseconds_per_second)));
  }

 private:
  Hertz frequency_;
};

namespace literals {
constexpr Picoseconds operator""_ps(unsigned long long n) {
  return Picoseconds(static_cast<std::int64_t>(n));
}
constexpr Picoseconds operator""_ns(unsigned long long n) {
  return Picoseconds(static_cast<std::int64_t>(n) * 1000);
}
constexpr Picoseconds operator""_us(unsigned long long n) {
  return Picoseconds(static_cast<std::int64_t>(n) * 1000000);
}
constexpr Picoseconds operator""_ms(unsigned long long n) {
  return Picoseconds(static_cast<std::int64_t>(n) * 1000000000);
}
constexpr Bytes operator""_B(unsigned long long n) {
  return Bytes(static_cast<std::int64_t>(n));
}
constexpr Bytes operator""_KiB(unsigned long long n) {
  return Bytes(static_cast<std::int64_t>(n) * 1024);
}
constexpr Bytes operator""_MB(unsigned long long n) {
  return Bytes(static_cast<std::int64_t>(n) * 1000000);
}
constexpr Bytes operator""_GB(unsigned long long n) {
  return Bytes(static_cast<std::int64_t>(n) * 1000000000);
}
constexpr BytesPerSecond operator""_GBps(unsigned long long n) {
  return BytesPerSecond(static_cast<double>(n) * 1e9);
}
constexpr BytesPerSecond operator""_TBps(unsigned long long n) {
  return BytesPerSecond(static_cast<double>(n) * 1e12);
}
constexpr Cycles operator""_cyc(unsigned long long n) {
  return Cycles(static_cast<std::int64_t>(n));
}
}  // namespace literals
}  // namespace tandem
