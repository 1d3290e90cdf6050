// Conversions between float and the narrow formats, by integer arithmetic on the bit patterns.
#include "sim/numerics/element.hpp"

#include <bit>
#include <cmath>
#include <limits>

namespace tandem {
namespace {

/// A binary floating-point format narrower than float.
struct NarrowFormat {
  int exponent_bits;
  int mantissa_bits;
  bool has_infinity;  ///< false: the all-ones exponent holds numbers and one NaN (OCP "FN")
};
constexpr NarrowFormat float16_format{5, 10, true};
constexpr NarrowFormat e4m3_format{4, 3, false};
constexpr NarrowFormat e5m2_format{5, 2, true};

constexpr int float_mantissa_bits = 23;
constexpr std::uint32_t float_infinity = 0x7f800000U;
constexpr float quiet_nan = std::numeric_limits<float>::quiet_NaN();

/// `value` >> `shift`, rounded to nearest, ties to even.
constexpr std::uint32_t shift_right_to_even(std::uint32_t value, int shift) {
  if (shift > 31) {
    return 0;
  }
  const std::uint32_t kept = value >> shift;
  const std::uint32_t rest = value & ((1U << shift) - 1U);
  const std::uint32_t half = 1U << (shift - 1);
  return kept + ((rest > half || (rest == half && (kept & 1U) != 0)) ? 1U : 0U);
}

std::uint32_t encode_narrow(const NarrowFormat& format, float value) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t magnitude = bits & 0x7fffffffU;
  const std::uint32_t sign = (bits >> 31) << (format.exponent_bits + format.mantissa_bits);
  const std::uint32_t all_ones = ((1U << format.exponent_bits) - 1U) << format.mantissa_bits;
  const std::uint32_t full = all_ones | ((1U << format.mantissa_bits) - 1U);
  const std::uint32_t nan =
      format.has_infinity ? all_ones | (1U << (format.mantissa_bits - 1)) : full;
  // Where overflow goes: infinity where there is one, else the largest number.
  const std::uint32_t top = format.has_infinity ? all_ones : full - 1U;
  if (magnitude > float_infinity) {
    return sign | nan;
  }
  const int bias = (1 << (format.exponent_bits - 1)) - 1;
  const int exponent = static_cast<int>(magnitude >> float_mantissa_bits) - 127 + bias;
  const int drop = float_mantissa_bits - format.mantissa_bits;
  if (exponent >= (1 << format.exponent_bits)) {
    return sign | top;
  }
  std::uint32_t code = 0;
  if (exponent >= 1) {
    // Rounding may carry into the exponent field, which is then right as it stands.
    const std::uint32_t rebased = magnitude - (static_cast<std::uint32_t>(127 - bias) << 23);
    code = shift_right_to_even(rebased, drop);
  } else {
    const std::uint32_t mantissa = (magnitude & 0x7fffffU) | 0x800000U;
    code = shift_right_to_even(mantissa, drop + 1 - exponent);
  }
  return sign | (code > top ? top : code);
}

float decode_narrow(const NarrowFormat& format, std::uint32_t code) {
  const std::uint32_t mantissa = code & ((1U << format.mantissa_bits) - 1U);
  const std::uint32_t exponent_ones = (1U << format.exponent_bits) - 1U;
  const std::uint32_t exponent = (code >> format.mantissa_bits) & exponent_ones;
  const bool negative = ((code >> (format.exponent_bits + format.mantissa_bits)) & 1U) != 0;
  const int bias = (1 << (format.exponent_bits - 1)) - 1;
  float magnitude = 0;
  if (exponent == exponent_ones && format.has_infinity) {
    if (mantissa != 0) {
      return quiet_nan;
    }
    magnitude = std::numeric_limits<float>::infinity();
  } else if (exponent == exponent_ones && mantissa == (1U << format.mantissa_bits) - 1U) {
    return quiet_nan;
  } else if (exponent == 0) {
    magnitude = std::ldexp(static_cast<float>(mantissa), 1 - bias - format.mantissa_bits);
  } else {
    magnitude = std::ldexp(static_cast<float>(mantissa | (1U << format.mantissa_bits)),
                           static_cast<int>(exponent) - bias - format.mantissa_bits);
  }
  return negative ? -magnitude : magnitude;
}

}  // namespace

std::string_view name_of(ElementType type) {
  switch (type) {
    case ElementType::Float32:
      return "float32";
    case ElementType::Bfloat16:
      return "bfloat16";
    case ElementType::Float16:
      return "float16";
    case ElementType::Fp8E4m3:
      return "fp8_e4m3";
    case ElementType::Fp8E5m2:
      return "fp8_e5m2";
    case ElementType::Int8:
      return "int8";
    case ElementType::Int32:
      return "int32";
  }
  return "unknown";
}

std::uint16_t encode_bfloat16(float value) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
  if ((bits & 0x7fffffffU) > float_infinity) {
    return static_cast<std::uint16_t>(((bits >> 16) & 0x8000U) | 0x7fc0U);
  }
  return static_cast<std::uint16_t>(shift_right_to_even(bits & 0x7fffffffU, 16) |
                                    ((bits >> 16) & 0x8000U));
}

float decode_bfloat16(std::uint16_t bits) {
  if ((bits & 0x7fffU) > 0x7f80U) {
    return quiet_nan;
  }
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
}

std::uint16_t encode_float16(float value) {
  return static_cast<std::uint16_t>(encode_narrow(float16_format, value));
}

float decode_float16(std::uint16_t bits) {
  const std::uint32_t exponent = (bits >> 10) & 0x1fU;
  if (exponent != 0 && exponent != 0x1fU) {  // the common case, without ldexp
    return std::bit_cast<float>((static_cast<std::uint32_t>(bits & 0x8000U) << 16) |
                                ((exponent + 112U) << 23) |
                                (static_cast<std::uint32_t>(bits & 0x3ffU) << 13));
  }
  return decode_narrow(float16_format, bits);
}

std::uint8_t encode_fp8_e4m3(float value) {
  return static_cast<std::uint8_t>(encode_narrow(e4m3_format, value));
}
float decode_fp8_e4m3(std::uint8_t bits) {
  return decode_narrow(e4m3_format, bits);
}

std::uint8_t encode_fp8_e5m2(float value) {
  return static_cast<std::uint8_t>(encode_narrow(e5m2_format, value));
}
float decode_fp8_e5m2(std::uint8_t bits) {
  return decode_narrow(e5m2_format, bits);
}

std::int8_t encode_int8(float value) {
  if (std::isnan(value)) {
    return 0;
  }
  if (value >= 127.0F) {
    return 127;
  }
  if (value <= -127.0F) {
    return -127;
  }
  const float down = std::floor(value);
  const float rest = value - down;  // exact: |value| < 2^7
  const auto low = static_cast<int>(down);
  const bool up = rest > 0.5F || (rest == 0.5F && (low & 1) != 0);
  return static_cast<std::int8_t>(low + (up ? 1 : 0));
}

float decode_element(ElementType type, std::uint32_t bits) {
  switch (type) {
    case ElementType::Float32:
      return std::bit_cast<float>(bits);
    case ElementType::Int32:
      return static_cast<float>(static_cast<std::int32_t>(bits));
    case ElementType::Bfloat16:
      return decode_bfloat16(static_cast<std::uint16_t>(bits));
    case ElementType::Float16:
      return decode_float16(static_cast<std::uint16_t>(bits));
    case ElementType::Fp8E4m3:
      return decode_fp8_e4m3(static_cast<std::uint8_t>(bits));
    case ElementType::Fp8E5m2:
      return decode_fp8_e5m2(static_cast<std::uint8_t>(bits));
    case ElementType::Int8:
      return static_cast<float>(static_cast<std::int8_t>(static_cast<std::uint8_t>(bits)));
  }
  return quiet_nan;
}

std::uint32_t encode_element(ElementType type, float value) {
  switch (type) {
    case ElementType::Float32:
      return std::bit_cast<std::uint32_t>(value);
    case ElementType::Int32: {
      // Saturating, ties to even (the default rounding mode); NaN becomes 0.
      if (std::isnan(value)) {
        return 0;
      }
      const double wide = std::nearbyint(static_cast<double>(value));
      const double low = -2147483648.0;
      const double high = 2147483647.0;
      const double kept = wide < low ? low : (wide > high ? high : wide);
      return static_cast<std::uint32_t>(static_cast<std::int32_t>(kept));
    }
    case ElementType::Bfloat16:
      return encode_bfloat16(value);
    case ElementType::Float16:
      return encode_float16(value);
    case ElementType::Fp8E4m3:
      return encode_fp8_e4m3(value);
    case ElementType::Fp8E5m2:
      return encode_fp8_e5m2(value);
    case ElementType::Int8:
      return static_cast<std::uint8_t>(encode_int8(value));
  }
  return 0;
}

float round_to(ElementType type, float value) {
  return type == ElementType::Float32 ? value : decode_element(type, encode_element(type, value));
}

}  // namespace tandem
