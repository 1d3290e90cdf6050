// Do named streams give the same numbers everywhere, and do they stay out of each other's way?
#include "sim/core/random.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cmath>

namespace tandem {
namespace {

TEST(RandomStream, pinned_values) {
  // From an independent Python transcription of FNV-1a with its finisher, SplitMix64 and
  // xoshiro256** (Blackman and Vigna).
  RandomStream arrivals(1, "arrivals");
  EXPECT_EQ(arrivals.next(), 0x8fc8c2649f2d15f5ULL);
  EXPECT_EQ(arrivals.next(), 0x9780ad2deeef82e2ULL);
  EXPECT_EQ(arrivals.next(), 0xc5765218b557fd1aULL);
  RandomStream sampling(1, "sampling");
  EXPECT_EQ(sampling.next(), 0xcf73a0d8f2e07624ULL);
  EXPECT_EQ(sampling.next(), 0xeacc27145938a1edULL);
  RandomStream other_seed(2, "arrivals");
  EXPECT_EQ(other_seed.next(), 0xfbaa9aaff1932a5aULL);
  EXPECT_EQ(other_seed.next(), 0x440d8dba974176eaULL);
}

TEST(RandomStream, uniform_is_the_top_53_bits) {
  // 0x8fc8c2649f2d15f5 >> 11, times 2^-53.
  EXPECT_EQ(RandomStream(1, "arrivals").uniform(), 0.5616570945414205);
}

TEST(RandomStream, one_stream_does_not_move_another) {
  RandomStream alone(3, "a");
  RandomStream beside(3, "a");
  RandomStream noise(3, "b");
  for (int i = 0; i < 100; ++i) {
    (void)noise.next();
    ASSERT_EQ(alone.next(), beside.next());
  }
}

TEST(RandomStream, integers_cover_their_range_evenly) {
  RandomStream random(5, "integers");
  std::array<int, 7> counts{};
  constexpr int draws = 70000;
  for (int i = 0; i < draws; ++i) {
    const std::int64_t value = random.integer(-3, 3);
    ASSERT_GE(value, -3);
    ASSERT_LE(value, 3);
    ++counts[static_cast<std::size_t>(value + 3)];
  }
  // Expected 10,000 each, standard deviation sqrt(70000 * 6 / 49) = 93; five of them are 463.
  for (const int count : counts) {
    EXPECT_NEAR(count, 10000, 463);
  }
  EXPECT_EQ(random.integer(4, 4), 4);
}

TEST(RandomStream, exponential_and_normal_have_their_moments) {
  RandomStream random(6, "moments");
  double exponential = 0;
  double normal = 0;
  double square = 0;
  constexpr int draws = 40000;
  for (int i = 0; i < draws; ++i) {
    exponential += random.exponential(2.5);
    const double z = random.normal();
    normal += z;
    square += z * z;
  }
  // Standard errors: 2.5 / 200 = 0.0125; 1 / 200 = 0.005; sqrt(2) / 200 = 0.0071; five of each.
  EXPECT_NEAR(exponential / draws, 2.5, 0.0625);
  EXPECT_NEAR(normal / draws, 0.0, 0.025);
  EXPECT_NEAR(square / draws, 1.0, 0.036);
}

}  // namespace
}  // namespace tandem
