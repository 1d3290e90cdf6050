#include "sim/numerics/formats/code.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "sim/numerics/element.hpp"

namespace tandem::formats {
namespace {

constexpr std::array<float, 8> e2m1_values{0.0F, 0.5F, 1.0F, 1.5F, 2.0F, 3.0F, 4.0F, 6.0F};
constexpr int e8m0_bias = 127;
constexpr std::uint8_t e8m0_nan = 255;

/// `value` to the nearest integer, ties to even, clamped to [low, high]; NaN gives 0.
int round_clamped(float value, int low, int high) {
  if (std::isnan(value)) {
    return std::clamp(0, low, high);
  }
  const float kept = std::clamp(value, static_cast<float>(low), static_cast<float>(high));
  const float down = std::floor(kept);
  const float rest = kept - down;  // exact: |kept| < 2^8
  const auto whole = static_cast<int>(down);
  const bool up = rest > 0.5F || (rest == 0.5F && (whole & 1) != 0);
  return whole + (up ? 1 : 0);
}

/// Two's complement of `width` bits.
int sign_extended(std::uint32_t code, int width) {
  const int sign = 1 << (width - 1);
  const auto low = static_cast<int>(code & ((1U << width) - 1U));
  return (low ^ sign) - sign;
}

}  // namespace

float largest_value(CodeType type) {
  switch (type) {
    case CodeType::Fp8E4m3:
      return 448.0F;
    case CodeType::Fp8E5m2:
      return 57344.0F;
    case CodeType::Int8:
      return 127.0F;
    case CodeType::Int4:
      return 7.0F;
    case CodeType::Int2:
      return 3.0F;
    case CodeType::Int1:
      return 1.0F;
    case CodeType::E2m1:
      return 6.0F;
  }
  return 0.0F;
}

std::string_view name_of(CodeType type) {
  switch (type) {
    case CodeType::Fp8E4m3:
      return "fp8_e4m3";
    case CodeType::Fp8E5m2:
      return "fp8_e5m2";
    case CodeType::Int8:
      return "int8";
    case CodeType::Int4:
      return "int4";
    case CodeType::Int2:
      return "int2";
    case CodeType::Int1:
      return "int1";
    case CodeType::E2m1:
      return "e2m1";
  }
  return "unknown";
}

float decode_code(CodeType type, std::uint32_t code) {
  switch (type) {
    case CodeType::Fp8E4m3:
      return decode_fp8_e4m3(static_cast<std::uint8_t>(code));
    case CodeType::Fp8E5m2:
      return decode_fp8_e5m2(static_cast<std::uint8_t>(code));
    case CodeType::Int8:
      return static_cast<float>(sign_extended(code, 8));
    case CodeType::Int4:
      return static_cast<float>(sign_extended(code, 4));
    case CodeType::Int2:
      return static_cast<float>(code & 3U);
    case CodeType::Int1:
      return (code & 1U) != 0 ? 1.0F : -1.0F;
    case CodeType::E2m1:
      return decode_e2m1(static_cast<std::uint8_t>(code));
  }
  return std::numeric_limits<float>::quiet_NaN();
}

std::uint32_t encode_code(CodeType type, float value) {
  switch (type) {
    case CodeType::Fp8E4m3:
      return encode_fp8_e4m3(value);
    case CodeType::Fp8E5m2:
      return encode_fp8_e5m2(value);
    case CodeType::Int8:
      return static_cast<std::uint8_t>(encode_int8(value));
    case CodeType::Int4:
      return static_cast<std::uint32_t>(round_clamped(value, -8, 7)) & 15U;
    case CodeType::Int2:
      return static_cast<std::uint32_t>(round_clamped(value, 0, 3));
    case CodeType::Int1:
      return value < 0.0F ? 0U : 1U;
    case CodeType::E2m1:
      return encode_e2m1(value);
  }
  return 0;
}

std::uint8_t encode_e2m1(float value) {
  if (std::isnan(value)) {
    return 7;
  }
  // Upper end of each value's interval; the tie belongs to the even code, hence <= for even ones.
  const float a = std::fabs(value);
  const unsigned magnitude = a <= 0.25F   ? 0U
                             : a < 0.75F  ? 1U
                             : a <= 1.25F ? 2U
                             : a < 1.75F  ? 3U
                             : a <= 2.5F  ? 4U
                             : a < 3.5F   ? 5U
                             : a <= 5.0F  ? 6U
                                          : 7U;
  return static_cast<std::uint8_t>(magnitude | (std::signbit(value) ? 8U : 0U));
}

float decode_e2m1(std::uint8_t code) {
  const float magnitude = e2m1_values[code & 7U];
  return (code & 8U) != 0 ? -magnitude : magnitude;
}

float decode_e8m0(std::uint8_t code) {
  if (code == e8m0_nan) {
    return std::numeric_limits<float>::quiet_NaN();
  }
  return std::ldexp(1.0F, static_cast<int>(code) - e8m0_bias);
}

std::uint8_t encode_e8m0_floor(float value, int shift) {
  if (value == 0.0F) {
    return 0;
  }
  if (!(value > 0.0F) || std::isinf(value)) {
    return e8m0_nan;
  }
  return static_cast<std::uint8_t>(std::clamp(std::ilogb(value) - shift + e8m0_bias, 0, 254));
}

}  // namespace tandem::formats
