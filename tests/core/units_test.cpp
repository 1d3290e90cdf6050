// Do quantities refuse to mix, and do conversions round the way the clock needs?
#include "sim/core/units.hpp"

#include <gtest/gtest.h>

#include <concepts>

namespace tandem {
namespace {

using namespace literals;

template <class A, class B>
concept Adds = requires(A a, B b) {
  a + b;
};
template <class A, class B>
concept Subtracts = requires(A a, B b) {
  a - b;
};
template <class A, class B>
concept Divides = requires(A a, B b) {
  a / b;
};
template <class A, class B>
concept Multiplies = requires(A a, B b) {
  a* b;
};
template <class A, class B>
concept Compares = requires(A a, B b) {
  a < b;
};

static_assert(Adds<Bytes, Bytes>);
static_assert(!Adds<Bytes, Cycles>);
static_assert(!Adds<Picoseconds, Cycles>);
static_assert(!Adds<Bytes, std::int64_t>);
static_assert(!Subtracts<Flops, Bytes>);
static_assert(!Compares<Bytes, Flops>);
static_assert(!Multiplies<Bytes, Bytes>);
static_assert(Multiplies<Bytes, std::int64_t>);
static_assert(Divides<Bytes, BytesPerSecond>);
static_assert(!Divides<Bytes, FlopsPerSecond>);
static_assert(!Divides<Cycles, Bytes>);
static_assert(std::same_as<decltype(Bytes(1) / BytesPerSecond(1)), Picoseconds>);
static_assert(!std::convertible_to<std::int64_t, Bytes>);
static_assert(!std::convertible_to<Bytes, std::int64_t>);
static_assert(sizeof(Bytes) == sizeof(std::int64_t));

TEST(Units, a_transfer_is_rounded_up_to_whole_picoseconds) {
  // 1 byte at 3 TB/s = 1/3 ps; 3 bytes = 1 ps; 4 bytes = 4/3 ps.
  EXPECT_EQ(1_B / 3_TBps, 1_ps);
  EXPECT_EQ(3_B / 3_TBps, 1_ps);
  EXPECT_EQ(4_B / 3_TBps, 2_ps);
  EXPECT_EQ(0_B / 3_TBps, 0_ps);
}

TEST(Units, literals_carry_their_scale) {
  EXPECT_EQ((1_us).count(), 1000000);
  EXPECT_EQ((2_KiB).count(), 2048);
  EXPECT_EQ((2_MB).count(), 2000000);
  EXPECT_DOUBLE_EQ((1_ns + 500_ps) / 1_ns, 1.5);
}

TEST(ClockDomain, cycle_n_starts_at_the_next_whole_picosecond) {
  // 3 GHz: one cycle is 333.33 ps, so cycles 1, 2, 3 start at 334, 667, 1000 ps.
  const ClockDomain clock(Hertz(3e9));
  EXPECT_EQ(clock.time_of(0_cyc), 0_ps);
  EXPECT_EQ(clock.time_of(1_cyc), 334_ps);
  EXPECT_EQ(clock.time_of(2_cyc), 667_ps);
  EXPECT_EQ(clock.time_of(3_cyc), 1000_ps);
}

TEST(ClockDomain, an_exact_period_round_trips) {
  // 1.25 GHz: 800 ps.
  const ClockDomain clock(Hertz(1.25e9));
  for (std::int64_t n = 0; n < 1000; ++n) {
    ASSERT_EQ(clock.cycles_in(clock.time_of(Cycles(n))), Cycles(n));
  }
  EXPECT_EQ(clock.cycles_in(801_ps), 2_cyc);
  EXPECT_EQ(clock.cycles_in(799_ps), 1_cyc);
}

TEST(Units, seconds_convert_both_ways) {
  EXPECT_EQ(from_seconds(1.5e-9), 1500_ps);
  EXPECT_DOUBLE_EQ(to_seconds(2_ms), 2e-3);
  EXPECT_DOUBLE_EQ(to_milliseconds(5_us), 5e-3);
}

}  // namespace
}  // namespace tandem
