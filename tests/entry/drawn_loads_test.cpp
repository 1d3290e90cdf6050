// Rows per expert of benchmarks: sums, ranks, repetition.
#include "sim/entry/rows/drawn_loads.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

namespace tandem::entry {
namespace {

std::int64_t sum(const std::vector<std::int64_t>& rows) {
  return std::accumulate(rows.begin(), rows.end(), std::int64_t{0});
}

TEST(BalancedRows, OneTokenTakesEveryStrideThExpert) {
  // 8 experts, 2 choices: stride 4, so experts 0 and 4; rank 0 of 4 holds experts 0 and 1.
  EXPECT_EQ(balanced_rows({1, 8, 2, 1}), (std::vector<std::int64_t>{1, 0, 0, 0, 1, 0, 0, 0}));
  EXPECT_EQ(balanced_rows({1, 8, 2, 4}), (std::vector<std::int64_t>{1, 0}));
}

TEST(BalancedRows, TwoTokensSpreadOverTheStride) {
  // Token 1 starts at 1 x 4 / 2 = 2: experts 2 and 6.
  EXPECT_EQ(balanced_rows({2, 8, 2, 1}), (std::vector<std::int64_t>{1, 0, 1, 0, 1, 0, 1, 0}));
}

TEST(BalancedRows, ManyTokensFillAllExpertsAlike) {
  EXPECT_EQ(balanced_rows({64, 128, 8, 16}), std::vector<std::int64_t>(8, 4));
}

TEST(PowerLawRows, OneRankKeepsAllChoices) {
  // Means of sorted loads are rounded one by one: at most half a row per expert is lost or won.
  for (const double exponent : {1.01, 1.2}) {
    const auto rows = power_law_rows({1024, 64, 8, 1}, exponent);
    ASSERT_EQ(rows.size(), 64U);
    EXPECT_NEAR(static_cast<double>(sum(rows)), 1024 * 8, 32);
    EXPECT_TRUE(std::is_sorted(rows.rbegin(), rows.rend()));
    EXPECT_LE(rows.front(), 1024);
    // Far from even: the largest of 64 loads is several times the mean of 128.
    EXPECT_GT(rows.front(), 3 * 128);
  }
}

TEST(PowerLawRows, BusiestRankHasMoreThanItsShare) {
  const auto rows = power_law_rows({4096, 128, 8, 16}, 1.2);
  EXPECT_EQ(rows.size(), 8U);
  EXPECT_GT(sum(rows), 4096 * 8 / 16 * 3 / 2);
}

TEST(PowerLawRows, FewExpertsNeverGetATokenTwice) {
  for (const std::int64_t rows : power_law_rows({2000, 8, 2, 2}, 1.01)) EXPECT_LE(rows, 2000);
}

TEST(PowerLawRows, OneTokenTakesNeighboursOfOneRank) {
  // 8 choices of 128 experts scale to less than half a row each: all round to 0, and the missing 8
  // go to the last 8 experts, which one rank of 16 holds.
  std::vector<std::int64_t> rows(16);
  std::fill_n(rows.begin(), 8, 1);
  EXPECT_EQ(power_law_rows({1, 128, 8, 8}, 1.2), rows);
}

TEST(PowerLawRows, EqualQuestionsGetEqualAnswers) {
  EXPECT_EQ(power_law_rows({100, 32, 4, 2}, 1.01), power_law_rows({100, 32, 4, 2}, 1.01));
}

}  // namespace
}  // namespace tandem::entry
