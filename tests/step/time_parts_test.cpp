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

}  // namespace
}  // namespace tandem
