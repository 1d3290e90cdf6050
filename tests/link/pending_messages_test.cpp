// The count of messages at a link against a count that keeps every message by itself.
#include "models/link/pending_messages.hpp"

#include <gtest/gtest.h>

#include <map>

#include "sim/core/random.hpp"
#include "tests/support/property.hpp"

namespace tandem::link {
namespace {

TEST(PendingMessages, CountEachMessageUntilItsLastTrainLeaves) {
  RandomStream random(20261122, "pending-messages");
  for (int round = 0; round < tandem::test::property_cases(200); ++round) {
    PendingMessages pending;
    std::map<MessageId, Picoseconds> leaves;  // of the last train so far
    Picoseconds now{0};
    for (int step = 0; step < 60; ++step) {
      now += Picoseconds(random.integer(0, 3));
      pending.let_go(now);
      std::int64_t there = 0;
      for (const auto& [id, time] : leaves) there += time > now ? 1 : 0;
      ASSERT_EQ(pending.count(), there) << "round " << round << ", step " << step;
      const MessageId id = random.integer(0, 7);
      const Picoseconds end = now + Picoseconds(random.integer(0, 12));
      Picoseconds& last = leaves.try_emplace(id, -1).first->second;
      pending.add(id, end, last);
      last = std::max(last, end);
    }
  }
}

}  // namespace
}  // namespace tandem::link
