// Do the narrow formats keep every code, round to nearest even, and overflow as stated?
#include "sim/numerics/element.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/numerics/special_values.hpp"

namespace tandem {
namespace {

class EveryCode : public testing::TestWithParam<ElementType> {};

TEST_P(EveryCode, survives_a_round_trip) {
  const ElementType type = GetParam();
  const std::uint32_t codes = 1U << (8 * bytes_of(type));
  int numbers = 0;
  for (std::uint32_t code = 0; code < codes; ++code) {
    const float value = decode_element(type, code);
    if (std::isnan(value)) {
      ASSERT_TRUE(std::isnan(round_to(type, value))) << code;
      continue;
    }
    ++numbers;
    ASSERT_EQ(encode_element(type, value), code) << value;
  }
  EXPECT_GT(numbers, static_cast<int>(codes) / 2);
}

TEST_P(EveryCode, midpoints_go_to_the_even_code_and_their_neighbours_to_the_nearer) {
  const ElementType type = GetParam();
  const std::uint32_t positive = 1U << (8 * bytes_of(type) - 1);
  for (std::uint32_t code = 0; code + 1 < positive; ++code) {
    const float low = decode_element(type, code);
    const float high = decode_element(type, code + 1);
    if (!std::isfinite(low) || !std::isfinite(high)) {
      continue;
    }
    // Two neighbours and their midpoint need at most one bit more than the format has; a bfloat16
    // midpoint below the smallest float subnormal pair is exact as well.
    const float middle = low + (high - low) / 2;
    ASSERT_EQ(encode_element(type, middle), (code % 2 == 0) ? code : code + 1) << code;
    ASSERT_EQ(encode_element(type, std::nextafter(middle, 0.0F)), code) << code;
    ASSERT_EQ(encode_element(type, std::nextafter(middle, infinity)), code + 1) << code;
    ASSERT_EQ(encode_element(type, -middle) & (positive - 1), encode_element(type, middle)) << code;
  }
}

INSTANTIATE_TEST_SUITE_P(Formats, EveryCode,
                         testing::Values(ElementType::Fp8E4m3, ElementType::Fp8E5m2,
                                         ElementType::Float16, ElementType::Bfloat16),
                         [](const auto& format) { return std::string(name_of(format.param)); });

TEST(Fp8E4m3, known_codes) {
  // Bias 7, 3 mantissa bits: 0x38 = 2^0; 0x01 = 2^-9; 0x07 = 7 * 2^-9; 0x7e = 1.75 * 2^8 = 448.
  EXPECT_EQ(decode_fp8_e4m3(0x38), 1.0F);
  EXPECT_EQ(decode_fp8_e4m3(0x01), 0x1p-9F);
  EXPECT_EQ(decode_fp8_e4m3(0x07), 0x1.cp-7F);
  EXPECT_EQ(decode_fp8_e4m3(0x08), 0x1p-6F);
  EXPECT_EQ(decode_fp8_e4m3(0x7e), 448.0F);
  EXPECT_EQ(decode_fp8_e4m3(0xfe), -448.0F);
  EXPECT_TRUE(std::isnan(decode_fp8_e4m3(0x7f)));
  EXPECT_TRUE(std::isnan(decode_fp8_e4m3(0xff)));
}

TEST(Fp8E4m3, saturates) {
  EXPECT_EQ(encode_fp8_e4m3(464.0F), 0x7e);  // the midpoint to what would be 480
  EXPECT_EQ(encode_fp8_e4m3(1e30F), 0x7e);
  EXPECT_EQ(encode_fp8_e4m3(-infinity), 0xfe);
  EXPECT_EQ(encode_fp8_e4m3(quiet_nan), 0x7f);
  EXPECT_EQ(encode_fp8_e4m3(0x1p-10F), 0x00);   // half the smallest: tie to zero
  EXPECT_EQ(encode_fp8_e4m3(-0x1p-11F), 0x80);  // the sign stays
}

TEST(Fp8E5m2, known_codes) {
  // Bias 15, 2 mantissa bits: 0x3c = 2^0; 0x7b = 1.75 * 2^15 = 57344; 0x7c = infinity.
  EXPECT_EQ(decode_fp8_e5m2(0x3c), 1.0F);
  EXPECT_EQ(decode_fp8_e5m2(0x01), 0x1p-16F);
  EXPECT_EQ(decode_fp8_e5m2(0x7b), 57344.0F);
  EXPECT_EQ(decode_fp8_e5m2(0x7c), infinity);
  EXPECT_EQ(encode_fp8_e5m2(61439.0F), 0x7b);
  EXPECT_EQ(encode_fp8_e5m2(61440.0F), 0x7c);  // midpoint to 65536: IEEE rounds it to infinity
  EXPECT_EQ(encode_fp8_e5m2(-1e9F), 0xfc);
}

TEST(Float16, known_codes) {
  EXPECT_EQ(decode_float16(0x3c00), 1.0F);
  EXPECT_EQ(decode_float16(0x0001), 0x1p-24F);
  EXPECT_EQ(decode_float16(0x7bff), 65504.0F);
  EXPECT_EQ(encode_float16(65519.0F), 0x7bff);
  EXPECT_EQ(encode_float16(65520.0F), 0x7c00);
  EXPECT_EQ(encode_float16(0x1p-25F), 0x0000);
  EXPECT_EQ(encode_float16(0x1.8p-25F), 0x0001);
  EXPECT_EQ(encode_float16(0.1F), 0x2e66);  // 0.1 = 1.6 * 2^-4, 0.6 * 1024 = 614.4 = 0x266
}

TEST(Bfloat16, known_codes) {
  EXPECT_EQ(encode_bfloat16(1.0F), 0x3f80);
  EXPECT_EQ(encode_bfloat16(0x1.01p0F), 0x3f80);  // tie, even below
  EXPECT_EQ(encode_bfloat16(0x1.03p0F), 0x3f82);  // tie, even above
  EXPECT_EQ(encode_bfloat16(std::numeric_limits<float>::max()), 0x7f80);
  EXPECT_TRUE(std::isnan(decode_bfloat16(encode_bfloat16(quiet_nan))));
}

TEST(Int8, rounds_to_even_and_saturates_symmetrically) {
  EXPECT_EQ(encode_int8(0.5F), 0);
  EXPECT_EQ(encode_int8(1.5F), 2);
  EXPECT_EQ(encode_int8(-0.5F), 0);
  EXPECT_EQ(encode_int8(-1.5F), -2);
  EXPECT_EQ(encode_int8(-2.51F), -3);
  EXPECT_EQ(encode_int8(126.5F), 126);
  EXPECT_EQ(encode_int8(1e9F), 127);
  EXPECT_EQ(encode_int8(-128.0F), -127);
  EXPECT_EQ(encode_int8(-infinity), -127);
  EXPECT_EQ(encode_int8(quiet_nan), 0);
}

TEST(Int32, saturates_at_both_ends) {
  EXPECT_EQ(encode_element(ElementType::Int32, 3e9F), 0x7fffffffU);
  EXPECT_EQ(encode_element(ElementType::Int32, -3e9F), 0x80000000U);
  EXPECT_EQ(decode_element(ElementType::Int32, 0xffffffffU), -1.0F);
}

}  // namespace
}  // namespace tandem
