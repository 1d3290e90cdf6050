// Splits of batches into passes, worked out by hand.
#include "models/lpu/pass_plan.hpp"

#include <gtest/gtest.h>

#include <map>

namespace tandem::test {
namespace {

using lpu::PlannedPass;

Picoseconds by_table(int width) {
  const std::map<int, std::int64_t> table{{1, 10}, {2, 14}, {4, 20}, {8, 45}, {16, 100}};
  return Picoseconds(table.at(width));
}

std::vector<int> widths_of(std::int64_t tokens, int most) {
  Batch batch;
  for (std::int64_t i = 0; i < tokens; ++i) batch.slices.push_back({i, 5, 1, true});
  std::vector<int> width;
  for (const PlannedPass& pass : lpu::plan_passes(batch, 32, most, by_table)) {
    width.push_back(pass.width);
  }
  return width;
}

TEST(PassPlan, TakesTheSplitOfLeastTime) {
  EXPECT_EQ(widths_of(1, 16), (std::vector<int>{1}));
  EXPECT_EQ(widths_of(3, 16), (std::vector<int>{4}));     // 20 < 14 + 10
  EXPECT_EQ(widths_of(5, 16), (std::vector<int>{4, 1}));  // 20 + 10 < 45
  EXPECT_EQ(widths_of(9, 16), (std::vector<int>{8, 1}));  // 45 + 10 < 100
  EXPECT_EQ(widths_of(16, 16), (std::vector<int>{16}));
  EXPECT_EQ(widths_of(5, 2), (std::vector<int>{2, 2, 1}));  // no program for more than two
}

TEST(PassPlan, KeepsTokensInOrderAndBlocksApart) {
  // Positions 30 .. 33 of one request lie in blocks 0 and 1 of 32 tokens; another request may share
  // the pass with either.
  Batch batch;
  batch.slices.push_back({7, 30, 4, true});
  batch.slices.push_back({8, 3, 1, true});
  const auto passes = lpu::plan_passes(batch, 32, 8, by_table);
  ASSERT_EQ(passes.size(), 2U);
  ASSERT_EQ(passes[0].tokens.size(), 2U);
  EXPECT_EQ(passes[0].width, 2);
  EXPECT_EQ(passes[0].tokens[1].position, 31);
  ASSERT_EQ(passes[1].tokens.size(), 3U);
  EXPECT_EQ(passes[1].width, 4);
  EXPECT_EQ(passes[1].tokens[0].position, 32);
  EXPECT_EQ(passes[1].tokens[2].slice, 1U);
}

}  // namespace
}  // namespace tandem::test
