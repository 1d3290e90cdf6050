#include "sim/step/time_parts.hpp"

#include <gtest/gtest.h>

namespace tandem {
namespace {

TEST(TimeParts, WhatKernelsAndExchangesLeaveIsWaiting) {
  const TimeParts parts =
      parts_of(Picoseconds(100), {{"attention", Picoseconds(30)}}, {{"reduce", Picoseconds(50)}});
  EXPECT_EQ(parts, (TimeParts{{"attention", Picoseconds(30)},
                              {"exchange reduce", Picoseconds(50)},
                              {waiting, Picoseconds(20)}}));
}

// Kernels of 60 and 20 in the 40 that exchanges leave: each has half of its own time.
TEST(TimeParts, KernelsThatOverlapShareTheirTime) {
  const TimeParts parts =
      parts_of(Picoseconds(100), {{"attention", Picoseconds(60)}, {"norm", Picoseconds(20)}},
               {{"reduce", Picoseconds(60)}});
  EXPECT_EQ(parts, (TimeParts{{"attention", Picoseconds(30)},
                              {"exchange reduce", Picoseconds(60)},
                              {"norm", Picoseconds(10)}}));
}

TEST(TimeParts, StretchesOfOneWayAddUp) {
  TimeParts parts{{"norm", Picoseconds(1)}};
  add_parts({{"norm", Picoseconds(2)}, {"bridge", Picoseconds(4)}}, parts);
  EXPECT_EQ(parts, (TimeParts{{"norm", Picoseconds(3)}, {"bridge", Picoseconds(4)}}));
  EXPECT_EQ(total_of(parts), Picoseconds(7));
}

// Of 100: kernels 45 in two roles, exchanges 30 in two; feeding 14 and its slots 20 are more than
// the bridge's 20. What waits for others decides nothing.
TEST(TimeParts, TheLargestKindOfPartIsTheBound) {
  TimeParts parts{{"norm", Picoseconds(15)},
                  {"attention", Picoseconds(30)},
                  {"exchange reduce", Picoseconds(16)},
                  {"exchange gather", Picoseconds(14)},
                  {waiting, Picoseconds(500)}};
  EXPECT_EQ(bound_of(parts, "hbm"), "hbm");
  parts["norm"] = Picoseconds(0);
  parts["attention"] = Picoseconds(29);
  EXPECT_EQ(bound_of(parts, "hbm"), "exchange");
  parts["bridge"] = Picoseconds(32);
  EXPECT_EQ(bound_of(parts, "hbm"), "bridge");
  parts["feed_forward"] = Picoseconds(14);
  parts["slot_wait"] = Picoseconds(20);
  EXPECT_EQ(bound_of(parts, "hbm"), "feed_forward");
  parts[waiting_for_mixers] = Picoseconds(6);  // 15 + 14 + 6 of kernels and of waiting for them
  parts["norm"] = Picoseconds(0);
  EXPECT_EQ(bound_of(parts, "hbm"), "hbm");
  EXPECT_EQ(bound_of({{"hand_over", Picoseconds(9)}, {"norm", Picoseconds(1)}}, "hbm"), "hbm");
  EXPECT_EQ(bound_of({}, "hbm"), "hbm");
}

}  // namespace
}  // namespace tandem
