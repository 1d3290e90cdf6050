// Are the special functions within 0.51 ulp of the C library's long double ones, and right at the
// edges?
#include "sim/numerics/special.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>

#include "sim/core/random.hpp"
#include "tests/numerics/special_values.hpp"

namespace tandem {
namespace {

/// Distance in units of the last place of a float of the size of `exact`.
double error_in_ulp(float value, long double exact) {
  int exponent = 0;
  (void)std::frexp(exact, &exponent);
  const long double ulp = std::ldexp(1.0L, std::max(exponent - 24, -149));
  return static_cast<double>(std::fabs(static_cast<long double>(value) - exact) / ulp);
}

/// Worst error over random floats of all sizes in [low, high] and an even grid over it.
template <class Ours, class Exact>
double worst_error(Ours ours, Exact exact, float low, float high) {
  RandomStream random(17, "special");
  double worst = 0;
  const auto probe = [&](float x) {
    if (x >= low && x <= high) {
      worst = std::max(worst, error_in_ulp(ours(x), exact(static_cast<long double>(x))));
    }
  };
  for (int i = 0; i < 200000; ++i) {
    const float x = std::bit_cast<float>(static_cast<std::uint32_t>(random.next() >> 32));
    if (std::isfinite(x)) {
      probe(x);
    }
    probe(low + (high - low) * static_cast<float>(i) * 5e-6F);
  }
  return worst;
}

TEST(Special, exp_is_within_051_ulp_subnormal_results_included) {
  EXPECT_LE(worst_error([](float x) { return special::exp(x); },
                        [](long double x) { return std::exp(x); }, -103.9F, 88.72F),
            0.51);
}

TEST(Special, log2_is_within_051_ulp) {
  const auto exact = [](long double x) { return std::log2(x); };
  const auto ours = [](float x) { return special::log2(x); };
  EXPECT_LE(worst_error(ours, exact, 1e-45F, 3e38F), 0.51);
  EXPECT_LE(worst_error(ours, exact, 0.9F, 1.1F), 0.51);
}

TEST(Special, tanh_is_within_051_ulp) {
  const auto exact = [](long double x) { return std::tanh(x); };
  const auto ours = [](float x) { return special::tanh(x); };
  EXPECT_LE(worst_error(ours, exact, -12.0F, 12.0F), 0.51);
  EXPECT_LE(worst_error(ours, exact, -0.3F, 0.3F), 0.51);
}

TEST(Special, rsqrt_and_recip_are_within_051_ulp) {
  EXPECT_LE(worst_error([](float x) { return special::rsqrt(x); },
                        [](long double x) { return 1.0L / std::sqrt(x); }, 1e-45F, 3.4e38F),
            0.51);
  EXPECT_LE(worst_error([](float x) { return special::recip(x); },
                        [](long double x) { return 1.0L / x; }, 3e-39F, 3.4e38F),
            0.51);
}

TEST(Special, edges) {
  EXPECT_EQ(special::exp(0.0F), 1.0F);
  EXPECT_EQ(special::exp(-infinity), 0.0F);
  EXPECT_EQ(special::exp(infinity), infinity);
  EXPECT_EQ(special::exp(88.8F), infinity);
  EXPECT_EQ(special::exp(-103.0F), 0x1p-149F);  // e^-103 = 1.33 * 2^-149
  EXPECT_EQ(special::exp(-104.0F), 0.0F);       // 0.49 * 2^-149
  EXPECT_EQ(special::log2(0.0F), -infinity);
  EXPECT_EQ(special::log2(infinity), infinity);
  EXPECT_EQ(special::log2(0x1p-149F), -149.0F);
  EXPECT_EQ(special::log2(8.0F), 3.0F);
  EXPECT_TRUE(std::isnan(special::log2(-1.0F)));
  EXPECT_EQ(special::tanh(infinity), 1.0F);
  EXPECT_EQ(special::tanh(-20.0F), -1.0F);
  EXPECT_TRUE(std::signbit(special::tanh(-0.0F)));
  EXPECT_EQ(special::rsqrt(4.0F), 0.5F);
  EXPECT_EQ(special::rsqrt(0.0F), infinity);
  EXPECT_EQ(special::rsqrt(infinity), 0.0F);
  EXPECT_TRUE(std::isnan(special::rsqrt(-1.0F)));
  EXPECT_EQ(special::recip(-0.0F), -infinity);
  EXPECT_EQ(special::recip(0x1p-149F), infinity);
  EXPECT_EQ(special::recip(0x1p127F), 0x1p-127F);
}

TEST(Special, nan_is_the_canonical_one) {
  const auto canonical = std::bit_cast<std::uint32_t>(quiet_nan);
  const float odd = std::bit_cast<float>(0xffc00123U);
  for (const float result :
       {special::exp(odd), special::log2(odd), special::tanh(odd), special::rsqrt(odd),
        special::recip(odd), special::rsqrt(-1.0F), special::log2(-infinity)}) {
    EXPECT_EQ(std::bit_cast<std::uint32_t>(result), canonical);
  }
}

TEST(Special, pinned_bits) {
  // Correctly rounded values: e = 2.71828174591064453125, tanh 1/2 = 0.46211716532707214,
  // log2 10 = 3.321928024291992, 1 / sqrt 3 = 0.57735025882720947.
  EXPECT_EQ(std::bit_cast<std::uint32_t>(special::exp(1.0F)), 0x402df854U);
  EXPECT_EQ(std::bit_cast<std::uint32_t>(special::log2(10.0F)), 0x40549a78U);
  EXPECT_EQ(std::bit_cast<std::uint32_t>(special::rsqrt(3.0F)), 0x3f13cd3aU);
  EXPECT_EQ(std::bit_cast<std::uint32_t>(special::tanh(0.5F)), 0x3eec9a9fU);
}

}  // namespace
}  // namespace tandem
