// Is the order of events total: time, then phase, then order of push?
#include "sim/core/calendar_queue.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <tuple>
#include <vector>

#include "sim/core/random.hpp"

namespace tandem {
namespace {

TEST(CalendarQueue, phases_order_events_of_one_picosecond) {
  CalendarQueue<int> queue;
  queue.push(Picoseconds(5), Phase::Issue, 1);
  queue.push(Picoseconds(5), Phase::Complete, 2);
  queue.push(Picoseconds(5), Phase::Release, 3);
  queue.push(Picoseconds(4), Phase::Issue, 4);
  std::vector<int> order;
  while (!queue.empty()) {
    order.push_back(queue.pop().event);
  }
  EXPECT_EQ(order, (std::vector<int>{4, 2, 3, 1}));
  EXPECT_EQ(queue.now(), Picoseconds(5));
}

TEST(CalendarQueue, equal_time_and_phase_pop_in_order_of_push) {
  CalendarQueue<int> queue;
  for (int i = 0; i < 100; ++i) {
    queue.push(Picoseconds(7), Phase::Issue, i);
  }
  for (int i = 0; i < 100; ++i) {
    ASSERT_EQ(queue.pop().event, i);
  }
}

TEST(CalendarQueue, random_pushes_between_pops_come_out_sorted) {
  RandomStream random(11, "calendar_queue");
  CalendarQueue<int> queue;
  using Key = std::tuple<std::int64_t, int, std::uint64_t>;
  Key last{-1, 0, 0};
  for (int round = 0; round < 2000; ++round) {
    for (std::int64_t i = random.integer(0, 3); i > 0; --i) {
      const Picoseconds time = queue.now() + Picoseconds(1 + random.integer(0, 4));
      queue.push(time, static_cast<Phase>(random.integer(0, 2)), round);
    }
    if (!queue.empty()) {
      EXPECT_EQ(queue.next_time(), std::max(queue.next_time(), queue.now()));
      const auto entry = queue.pop();
      const Key key{entry.time.count(), static_cast<int>(entry.phase()), entry.order};
      ASSERT_LT(last, key);
      last = key;
    }
  }
}

TEST(CalendarQueue, clear_starts_anew) {
  CalendarQueue<int> queue;
  queue.push(Picoseconds(9), Phase::Issue, 1);
  (void)queue.pop();
  queue.clear();
  queue.push(Picoseconds(1), Phase::Issue, 2);
  EXPECT_EQ(queue.pop().event, 2);
  EXPECT_EQ(queue.size(), 0U);
}

}  // namespace
}  // namespace tandem
