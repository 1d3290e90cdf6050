// Are the innermost products summed in exactly the stated order and width?
#include "sim/numerics/dot.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <vector>

#include "sim/core/random.hpp"
#include "sim/numerics/element.hpp"

namespace tandem {
namespace {

TEST(DotFloat32, is_one_sequential_accumulator) {
  // 2^24 + 1 rounds back to 2^24 each time; any other order of these gives 2^24 + 2.
  const std::vector<float> a{0x1p24F, 1.0F, 1.0F};
  const std::vector<float> ones{1.0F, 1.0F, 1.0F};
  EXPECT_EQ(dot_float32(a, ones), 0x1p24F);
  EXPECT_EQ(dot_float32({}, {}), 0.0F);
}

TEST(DotWide, has_four_interleaved_sums_combined_as_a_tree) {
  // Sums by i mod 4, in double: s0 = 2^60 + 1 = 2^60, s1 = -2^60, s2 = 2^-30, s3 = 3.
  // (s0 + s1) + (s2 + s3) = 3 + 2^-30, rounded to float 3. One accumulator would give 1 + 3 lost
  // or kept in another place: ((2^60 - 2^60) + 2^-30 + 3) + 1 = 4.
  const std::vector<float> a{0x1p60F, -0x1p60F, 0x1p-30F, 3.0F, 1.0F};
  const std::vector<float> ones(5, 1.0F);
  EXPECT_EQ(dot_wide(a, ones), 3.0F);
}

TEST(DotWide, adds_the_last_two_sums_before_the_first_two_join_them) {
  // s0 = 1 + 2^-24 (halfway between two floats), s1 = 0, s2 = s3 = 2^-53. As a tree the sum is
  // 1 + 2^-24 + 2^-52, which rounds up to 1 + 2^-23; one by one, each 2^-53 is a tie in double and
  // is lost, and 1 + 2^-24 rounds to the even 1.
  const std::vector<float> a{1.0F, 0.0F, 0x1p-53F, 0x1p-53F, 0x1p-24F};
  const std::vector<float> ones(5, 1.0F);
  EXPECT_EQ(dot_wide(a, ones), 0x1.000002p0F);
}

TEST(DotWide, equals_the_plain_definition_at_every_length) {
  RandomStream random(23, "dot");
  for (std::size_t n = 0; n < 70; ++n) {
    std::vector<float> a(n);
    std::vector<float> b(n);
    std::array<double, 4> sums{};
    for (std::size_t i = 0; i < n; ++i) {
      a[i] = round_to(ElementType::Float16, static_cast<float>(random.normal()));
      b[i] = round_to(ElementType::Float16, static_cast<float>(random.normal() * 100));
      sums[i % 4] += static_cast<double>(a[i]) * static_cast<double>(b[i]);
    }
    const auto expected = static_cast<float>((sums[0] + sums[1]) + (sums[2] + sums[3]));
    ASSERT_EQ(dot_wide(a, b), expected) << n;
  }
}

TEST(DotFp8E4m3, is_exact_where_floats_would_not_be) {
  // 448 * 448 = 200704, plus 2^-9 * 2^-9 = 2^-18, minus 448 * 448: 2^-18 is left.
  const std::vector<std::uint8_t> a{0x7e, 0x01, 0xfe};
  const std::vector<std::uint8_t> b{0x7e, 0x01, 0x7e};
  EXPECT_EQ(dot_fp8_e4m3(a, b), 0x1p-18F);
}

TEST(DotFp8E4m3, every_pair_of_codes_multiplies_exactly) {
  for (int i = 0; i < 256; ++i) {
    for (int j = 0; j < 256; ++j) {
      const auto x = static_cast<std::uint8_t>(i);
      const auto y = static_cast<std::uint8_t>(j);
      const float expected = decode_fp8_e4m3(x) * decode_fp8_e4m3(y);
      const float actual = dot_fp8_e4m3(std::span(&x, 1), std::span(&y, 1));
      if (std::isnan(expected)) {
        ASSERT_TRUE(std::isnan(actual));
      } else {
        ASSERT_EQ(actual, expected) << i << " " << j;
      }
    }
  }
}

TEST(DotInt8, sums_products) {
  // 127 * 127 - 127 * 127 + 2 * -3 = -6.
  const std::vector<std::int8_t> a{127, -127, 2};
  const std::vector<std::int8_t> b{127, 127, -3};
  EXPECT_EQ(dot_int8(a, b), -6);
}

}  // namespace
}  // namespace tandem
