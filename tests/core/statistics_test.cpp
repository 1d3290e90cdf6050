// Are percentiles those of the stated definition?
#include "sim/core/statistics.hpp"

#include <gtest/gtest.h>

namespace tandem {
namespace {

TEST(Percentile, interpolates_between_closest_ranks) {
  // Rank q (n - 1): for {10, 20, 30, 40} q = 0.5 is rank 1.5 -> 25; q = 0.9 is rank 2.7 -> 37.
  const std::vector<double> sorted{10, 20, 30, 40};
  EXPECT_DOUBLE_EQ(percentile(sorted, 0.0), 10);
  EXPECT_DOUBLE_EQ(percentile(sorted, 0.5), 25);
  EXPECT_DOUBLE_EQ(percentile(sorted, 0.9), 37);
  EXPECT_DOUBLE_EQ(percentile(sorted, 1.0), 40);
}

TEST(Percentile, of_one_value_is_that_value) {
  const std::vector<double> one{3};
  EXPECT_DOUBLE_EQ(percentile(one, 0.99), 3);
}

TEST(Summary, sorts_and_averages) {
  // 1..101 shuffled: mean 51; rank 100 q: p50 = 51, p90 = 91, p95 = 96, p99 = 100.
  std::vector<double> sample;
  for (int i = 0; i < 101; ++i) {
    sample.push_back((i * 37) % 101 + 1);
  }
  const Summary summary = summarise(sample);
  EXPECT_EQ(summary.count, 101U);
  EXPECT_DOUBLE_EQ(summary.mean, 51);
  EXPECT_DOUBLE_EQ(summary.p50, 51);
  EXPECT_DOUBLE_EQ(summary.p90, 91);
  EXPECT_DOUBLE_EQ(summary.p95, 96);
  EXPECT_DOUBLE_EQ(summary.p99, 100);
}

TEST(Summary, of_nothing_is_zero_and_says_so) {
  const Summary summary = summarise({});
  EXPECT_EQ(summary.count, 0U);
  EXPECT_EQ(summary.p99, 0);
}

}  // namespace
}  // namespace tandem
