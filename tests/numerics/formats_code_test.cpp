// Does every element code survive a round trip, and does every encoder pick the nearest value?
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <tuple>
#include <vector>

#include "sim/core/random.hpp"
#include "sim/numerics/formats/code.hpp"
#include "sim/numerics/formats/packing.hpp"
#include "tests/numerics/special_values.hpp"

namespace tandem::formats {
namespace {

class EveryCodeType : public testing::TestWithParam<CodeType> {};

TEST_P(EveryCodeType, round_trips_every_code) {
  const CodeType type = GetParam();
  for (std::uint32_t code = 0; code < (1U << bits_of(type)); ++code) {
    const float value = decode_code(type, code);
    if (std::isnan(value)) {
      EXPECT_TRUE(std::isnan(decode_code(type, encode_code(type, value)))) << code;
    } else if (type == CodeType::Int8 && code == 0x80) {
      EXPECT_EQ(encode_code(type, value), 0x81U);  // -128 is read but never written: -127
    } else {
      EXPECT_EQ(encode_code(type, value), code) << value;
    }
  }
}

/// One number of a code type, for the exhaustive search below.
struct Entry {
  std::uint32_t code;
  double value;
};

std::vector<Entry> numbers_of(CodeType type) {
  std::vector<Entry> entries;
  for (std::uint32_t code = 0; code < (1U << bits_of(type)); ++code) {
    const double value = decode_code(type, code);
    if (std::isinf(value)) {
      // IEEE 754 rounds as if the exponent went on: infinity stands where 2^16 would.
      entries.push_back({code, std::copysign(65536.0, value)});
    } else if (!std::isnan(value) && !(type == CodeType::Int8 && value == -128.0)) {
      entries.push_back({code, value});
    }
  }
  return entries;
}

/// The nearest entry by distance in double; on a tie the one with an even code, and of the two
/// zeros the one with the sign of `value`.
std::uint32_t nearest_by_search(CodeType type, const std::vector<Entry>& entries, float value) {
  // Saturation first: the distance to far values would round to the same double.
  const auto [low, high] =
      std::minmax_element(entries.begin(), entries.end(),
                          [](const Entry& a, const Entry& b) { return a.value < b.value; });
  const double kept = std::clamp(static_cast<double>(value), low->value, high->value);
  const auto rank = [&](const Entry& entry) {
    const bool sign_differs = std::signbit(entry.value) != std::signbit(value);
    // The even code of two neighbours; -1 and +1 of Int1 meet at 0, which counts as +1.
    const bool late =
        type == CodeType::Int1 ? (value < 0) != (entry.value < 0) : (entry.code & 1U) != 0;
    return std::tuple(std::abs(entry.value - kept), late, entry.value == 0 && sign_differs);
  };
  const Entry* best = &entries.front();
  for (const Entry& entry : entries) {
    if (rank(entry) < rank(*best)) {
      best = &entry;
    }
  }
  return best->code;
}

TEST_P(EveryCodeType, encodes_to_the_nearest_value_with_ties_to_even) {
  const CodeType type = GetParam();
  const std::vector<Entry> entries = numbers_of(type);
  RandomStream random(7, "nearest code");
  std::vector<float> values{0.0F, -0.0F, infinity, -infinity, 1e30F, -1e30F, 1e-30F, -1e-30F};
  for (const Entry& a : entries) {
    for (const Entry& b : entries) {
      if (b.code == a.code + 1) {  // midpoints of neighbours, and the floats beside them
        const auto middle = static_cast<float>((a.value + b.value) / 2);
        values.insert(values.end(), {middle, std::nextafter(middle, infinity),
                                     std::nextafter(middle, -infinity)});
      }
    }
  }
  for (int i = 0; i < 400; ++i) {
    const double span = std::ldexp(largest_value(type), -static_cast<int>(random.integer(-1, 12)));
    values.push_back(static_cast<float>((2 * random.uniform() - 1) * span));
  }
  for (const float value : values) {
    EXPECT_EQ(encode_code(type, value), nearest_by_search(type, entries, value)) << value;
  }
}

INSTANTIATE_TEST_SUITE_P(Formats, EveryCodeType,
                         testing::Values(CodeType::Fp8E4m3, CodeType::Fp8E5m2, CodeType::Int8,
                                         CodeType::Int4, CodeType::Int2, CodeType::Int1,
                                         CodeType::E2m1),
                         [](const auto& type) { return std::string(name_of(type.param)); });

TEST(E2m1, ties_saturation_and_signs_as_specified) {
  // cast_to_fp4 of vLLM: .25 -> 0, .75 -> 1, 1.25 -> 1, 1.75 -> 2, 2.5 -> 2, 3.5 -> 4, 5 -> 4.
  const std::vector<std::pair<float, float>> ties{{0.25F, 0}, {0.75F, 1}, {1.25F, 1}, {1.75F, 2},
                                                  {2.5F, 2},  {3.5F, 4},  {5, 4}};
  for (const auto& [value, rounded] : ties) {
    EXPECT_EQ(decode_e2m1(encode_e2m1(value)), rounded) << value;
    EXPECT_EQ(decode_e2m1(encode_e2m1(-value)), -rounded) << value;
  }
  EXPECT_EQ(encode_e2m1(std::nextafter(0.25F, 1.0F)), 0x1);  // 0.5
  EXPECT_EQ(encode_e2m1(std::nextafter(5.0F, 6.0F)), 0x7);   // 6
  EXPECT_EQ(encode_e2m1(1e9F), 0x7);
  EXPECT_EQ(encode_e2m1(-infinity), 0xf);
  EXPECT_EQ(encode_e2m1(quiet_nan), 0x7);
  EXPECT_EQ(encode_e2m1(-quiet_nan), 0x7);
  EXPECT_EQ(encode_e2m1(-0.0F), 0x8);
  EXPECT_TRUE(std::signbit(decode_e2m1(0x8)));
}

TEST(E2m1, values_follow_from_sign_exponent_and_mantissa) {
  // 1 sign, 2 exponent (bias 1), 1 mantissa bit: 2^(e-1) (1 + m/2), and m/2 where e is 0.
  for (unsigned code = 0; code < 16; ++code) {
    const int e = static_cast<int>((code >> 1) & 3U);
    const double m = code & 1U;
    const double magnitude = e == 0 ? m / 2 : std::ldexp(1 + m / 2, e - 1);
    EXPECT_EQ(decode_e2m1(static_cast<std::uint8_t>(code)), code >= 8 ? -magnitude : magnitude);
  }
}

TEST(E8m0, every_code_is_its_power_of_two) {
  for (int code = 0; code < 255; ++code) {
    const float value = decode_e8m0(static_cast<std::uint8_t>(code));
    EXPECT_EQ(static_cast<double>(value), std::exp2(code - 127));
    EXPECT_EQ(encode_e8m0_floor(value), code);
    EXPECT_EQ(encode_e8m0_floor(value, 2), std::max(code - 2, 0));
    if (code > 0 && code < 254) {
      // Just below a power of two the exponent is one less. Code 0 stands for all that is smaller.
      EXPECT_EQ(encode_e8m0_floor(std::nextafter(value, 0.0F)), code - 1);
      EXPECT_EQ(encode_e8m0_floor(std::nextafter(value, infinity)), code);
    }
  }
  EXPECT_TRUE(std::isnan(decode_e8m0(255)));
}

TEST(E8m0, what_has_no_logarithm_is_nan_and_zero_is_the_smallest) {
  EXPECT_EQ(encode_e8m0_floor(0.0F), 0);
  EXPECT_EQ(encode_e8m0_floor(std::numeric_limits<float>::denorm_min()), 0);
  EXPECT_EQ(encode_e8m0_floor(std::numeric_limits<float>::max()), 254);
  EXPECT_EQ(encode_e8m0_floor(infinity), 255);
  EXPECT_EQ(encode_e8m0_floor(-1.0F), 255);
  EXPECT_EQ(encode_e8m0_floor(quiet_nan), 255);
}

TEST(Fp8, bit_patterns_equal_sign_exponent_and_mantissa) {
  // E4M3FN: bias 7, only 0x7f is NaN, 127 finite codes from 0 up. E5M2: bias 15, top exponent
  // reserved, 124 finite codes.
  int e4m3_finite = 0;
  int e5m2_finite = 0;
  for (int code = 0; code < 128; ++code) {
    const double e4m3 = code < 8 ? std::ldexp(code, -9) : std::ldexp(8 + code % 8, code / 8 - 10);
    const double e5m2 = code < 4 ? std::ldexp(code, -16) : std::ldexp(4 + code % 4, code / 4 - 17);
    const auto bits = static_cast<std::uint32_t>(code);
    if (code < 0x7f) {
      EXPECT_EQ(decode_code(CodeType::Fp8E4m3, bits), e4m3);
      ++e4m3_finite;
    }
    if (code < 0x7c) {
      EXPECT_EQ(decode_code(CodeType::Fp8E5m2, bits), e5m2);
      ++e5m2_finite;
    }
  }
  EXPECT_EQ(e4m3_finite, 127);
  EXPECT_EQ(e5m2_finite, 124);
  EXPECT_EQ(decode_code(CodeType::Fp8E4m3, 0x7e), largest_value(CodeType::Fp8E4m3));
  EXPECT_EQ(decode_code(CodeType::Fp8E5m2, 0x7b), largest_value(CodeType::Fp8E5m2));
}

TEST(Packing, keeps_neighbours_at_every_width_and_place) {
  for (int width = 1; width <= 8; ++width) {
    std::vector<std::uint8_t> bytes(packed_bytes(19, width), 0xff);
    for (std::uint32_t i = 0; i < 19; ++i) {
      write_bits(bytes, i * static_cast<std::size_t>(width), width, i * 37U);
    }
    for (std::uint32_t i = 0; i < 19; ++i) {
      EXPECT_EQ(read_bits(bytes, i * static_cast<std::size_t>(width), width),
                (i * 37U) & ((1U << width) - 1U));
    }
  }
  // Low nibble first; three bits: 1 | 2 << 3 | 3 << 6 | 4 << 9 = 0x8d1.
  std::vector<std::uint8_t> bytes(2);
  write_bits(bytes, 0, 4, 0xa);
  write_bits(bytes, 4, 4, 0x5);
  EXPECT_EQ(bytes[0], 0x5a);
  for (std::uint32_t i = 0; i < 4; ++i) {
    write_bits(bytes, i * 3UL, 3, i + 1);
  }
  EXPECT_EQ(bytes[0], 0xd1);
  EXPECT_EQ(bytes[1] & 0x0f, 0x08);
}

}  // namespace
}  // namespace tandem::formats
