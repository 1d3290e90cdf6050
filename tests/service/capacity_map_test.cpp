// Maps of systems whose room and times can be worked out.
#include "sim/service/capacity_map.hpp"

#include <gtest/gtest.h>

#include "tests/step/fakes.hpp"

namespace tandem {
namespace {

CapacityMap map_of(const Scenario& s, std::vector<std::int64_t> contexts,
                   std::vector<std::int64_t> users) {
  return capacity_map(s, fakes::catalogue(), fakes::network(),
                      {std::move(contexts), std::move(users), Fidelity::Cycle, std::nullopt});
}

TEST(CapacityMap, HasTheTimeOfAStepOfTheUsers) {
  // A step of n users takes 4 x (1000 + 10 n) ns whatever their context; 8 sequences are allowed.
  const CapacityMap map = map_of(fakes::scenario(), {32, 64}, {1, 8, 9});
  ASSERT_EQ(map.rows.size(), 2u);
  for (const MapRow& row : map.rows) {
    EXPECT_EQ(row.most_users, 8);
    EXPECT_EQ(row.limit, "max_sequences");
    EXPECT_NEAR(row.cells[0].tpot_ms, 4040e-6, 1e-9);
    EXPECT_NEAR(row.cells[1].tpot_ms, 4320e-6, 1e-9);
    EXPECT_EQ(row.cells[1].bound, "fake");
    EXPECT_NEAR(row.cells[1].output_tokens_per_s, 8 / 4320e-9, 1);
    EXPECT_FALSE(row.cells[2].fits);
    EXPECT_EQ(row.cells[2].bound, "max_sequences");
  }
}

TEST(CapacityMap, UsersFallWithTheContextThatKvHasRoomFor) {
  // Room for KV by whole requests: twice the context, half the users.
  Scenario s = fakes::scenario();
  s.serving.max_sequences = 1 << 20;
  const CapacityMap map = map_of(s, {256, 512}, {1});
  EXPECT_EQ(map.rows[0].limit, "kv");
  EXPECT_NEAR(static_cast<double>(map.rows[0].most_users) / 2,
              static_cast<double>(map.rows[1].most_users), 1);
  // As many tokens as the run's own pool has room for.
  ServiceModel model(s, fakes::catalogue(), fakes::network(), std::nullopt);
  const std::int64_t tokens = model.deployments().front()->decode_pool().kv_room().tokens;
  EXPECT_EQ(map.rows[0].most_users, tokens / 256);
}

TEST(CapacityMap, ReplicasShareTheUsers) {
  Scenario s = fakes::split_scenario();
  const CapacityMap one = map_of(s, {32}, {2});
  EXPECT_TRUE(one.rows[0].cells[0].fits);
  EXPECT_GT(one.rows[0].cells[0].tpot_ms, 0);
}

TEST(CapacityMap, SaysWhyAModelDoesNotFit) {
  Scenario s = fakes::scenario();
  s.model.max_context = 100;
  const CapacityMap beyond = map_of(s, {100, 101}, {1});
  EXPECT_EQ(beyond.rows[0].limit, "max_sequences");
  EXPECT_EQ(beyond.rows[1].limit, "context");
  EXPECT_FALSE(beyond.rows[1].cells[0].fits);
  s.model.max_context = 0;
  const CapacityMap map = map_of(s, {1 << 30}, {1});
  ASSERT_EQ(map.rows.size(), 1u);
  EXPECT_EQ(map.rows[0].most_users, 0);
  EXPECT_EQ(map.rows[0].limit, "model");
  EXPECT_FALSE(map.rows[0].problem.empty());
  EXPECT_FALSE(map.rows[0].cells[0].fits);
}

}  // namespace
}  // namespace tandem
