#include "models/link/link_schedule.hpp"

#include <gtest/gtest.h>

namespace tandem::link {
namespace {

using namespace tandem::literals;

TEST(LinkSchedule, QueuesWhatComesWhileBusy) {
  LinkSchedule schedule;
  EXPECT_EQ(schedule.reserve(0_ps, 0_ps, 10_ps).end, 10_ps);
  const Slot second = schedule.reserve(4_ps, 4_ps, 10_ps);
  EXPECT_EQ(second.start, 10_ps);
  EXPECT_EQ(second.end, 20_ps);
  EXPECT_EQ(schedule.busy(), 20_ps);
}

TEST(LinkSchedule, FillsTheGapBeforeAReservationAndGoesOnAfterIt) {
  LinkSchedule schedule;
  schedule.reserve(0_ps, 100_ps, 10_ps);
  // Free are [95, 100) and from 110 on: 5 ps before the reservation, 5 ps after it.
  const Slot split = schedule.reserve(95_ps, 95_ps, 10_ps);
  EXPECT_EQ(split.start, 95_ps);
  EXPECT_EQ(split.end, 115_ps);
  // All of [95, 115) is taken now.
  EXPECT_EQ(schedule.reserve(96_ps, 96_ps, 1_ps).start, 115_ps);
}

TEST(LinkSchedule, ForgetsThePastButNotTheFuture) {
  LinkSchedule schedule;
  schedule.reserve(0_ps, 0_ps, 10_ps);
  schedule.reserve(0_ps, 50_ps, 10_ps);
  EXPECT_EQ(schedule.reserve(40_ps, 40_ps, 15_ps).end, 65_ps);  // 10 in [40, 50), 5 after 60
}

TEST(LinkSchedule, ZeroDurationTakesNothing) {
  LinkSchedule schedule;
  schedule.reserve(0_ps, 0_ps, 10_ps);
  EXPECT_EQ(schedule.reserve(5_ps, 5_ps, 0_ps).end, 5_ps);
  EXPECT_EQ(schedule.busy(), 10_ps);
}

}  // namespace
}  // namespace tandem::link
