// Do the eviction policies keep what their papers say?
#include "sim/numerics/ops/eviction.hpp"

#include <gtest/gtest.h>

namespace tandem::ops {
namespace {

using Places = std::vector<std::int64_t>;

TEST(Eviction, StreamingKeepsTheFirstAndTheLast) {
  // 10 tokens, 4 stay, 1 sink: 0, then the last three.
  EXPECT_EQ(kept_by_streaming(10, 1, 4), (Places{0, 7, 8, 9}));
  EXPECT_EQ(kept_by_streaming(10, 0, 2), (Places{8, 9}));
  EXPECT_EQ(kept_by_streaming(4, 2, 4), (Places{0, 1, 2, 3}));
  EXPECT_EQ(kept_by_streaming(3, 2, 4), (Places{0, 1, 2}));
}

TEST(Eviction, HeavyHittersAreTheLargestSumsOfTheOlderTokens) {
  // 7 tokens, 4 stay, 2 of them recent (5 and 6): of 0..4 the two largest are 3 (0.9) and 1 (0.5).
  // 6's own sum does not count.
  const std::vector<float> sums{0.3F, 0.5F, 0.1F, 0.9F, 0.2F, 0.0F, 7.0F};
  EXPECT_EQ(kept_by_heavy_hitters(sums, 2, 4), (Places{1, 3, 5, 6}));
  EXPECT_EQ(kept_by_heavy_hitters(sums, 2, 7), (Places{0, 1, 2, 3, 4, 5, 6}));
  // Of equals the earlier: 0 and 1 both have 0.5, one of them stays.
  EXPECT_EQ(kept_by_heavy_hitters(std::vector<float>{0.5F, 0.5F, 0.1F, 0.0F}, 1, 2),
            (Places{0, 3}));
}

TEST(Eviction, SumsAreSharesOfTheSoftmax) {
  // Scores 0 and ln 3: shares 1/4 and 3/4, on top of 1 and 2.
  std::vector<float> sums{1, 2};
  add_attention(std::vector<float>{0.0F, 1.09861229F}, sums);
  EXPECT_NEAR(sums[0], 1.25, 1e-6);
  EXPECT_NEAR(sums[1], 2.75, 1e-6);
}

}  // namespace
}  // namespace tandem::ops
