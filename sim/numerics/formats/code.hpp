// Element codes of the quantised formats: the numbers that a scale multiplies, and the E8M0 scale
// itself. One code here is at most 8 bits; blocks, scales and storage are in the other files.
#pragma once

#include <cstdint>
#include <string_view>

namespace tandem::formats {

/// How one element of a quantised tensor is coded.
///
/// - Fp8E4m3, Fp8E5m2: OCP 8-bit Floating Point Specification 1.0; rounding and overflow as in
///   sim/numerics/element.hpp (E4M3 saturates at 448, E5M2 goes to infinity from 61440).
/// - Int8: -127..127. Int4: -8..7, two's complement. Both round to nearest even and saturate.
/// - Int2: 0..3 (unsigned; its formats carry a zero point). Rounds to nearest even and saturates.
/// - Int1: code 1 is +1, code 0 is -1; zero of either sign counts as positive (XNOR-Net, arXiv
///   1603.05279 section 3.1; ggml q1_0 has the same rule).
/// - E2m1: sign, then {0, .5, 1, 1.5, 2, 3, 4, 6}; ties to the even code, saturates at 6 (OCP
///   Microscaling Formats 1.0 section 5.3.3; ties as vLLM's cast_to_fp4 has them).
enum class CodeType : std::uint8_t { Fp8E4m3, Fp8E5m2, Int8, Int4, Int2, Int1, E2m1 };

[[nodiscard]] constexpr int bits_of(CodeType type) {
  switch (type) {
    case CodeType::Fp8E4m3:
    case CodeType::Fp8E5m2:
    case CodeType::Int8:
      return 8;
    case CodeType::Int4:
    case CodeType::E2m1:
      return 4;
    case CodeType::Int2:
      return 2;
    case CodeType::Int1:
      return 1;
  }
  return 0;
}

/// The largest magnitude that a symmetric scale maps the largest element to: 448, 57344, 127, 7, 3,
/// 1 and 6 in the order of CodeType.
[[nodiscard]] float largest_value(CodeType type);

[[nodiscard]] std::string_view name_of(CodeType type);

/// The number that the low bits_of(type) bits of `code` stand for. NaN only for the fp8 types.
[[nodiscard]] float decode_code(CodeType type, std::uint32_t code);

/// The code nearest to `value`, in the low bits_of(type) bits. NaN stays NaN in fp8; the types
/// without NaN map it to 0 (Int8, Int4, Int2), to +1 (Int1) and to +6 (E2m1, as the PTX
/// instruction cvt.rn.satfinite.e2m1x2 does).
[[nodiscard]] std::uint32_t encode_code(CodeType type, float value);

[[nodiscard]] std::uint8_t encode_e2m1(float value);
[[nodiscard]] float decode_e2m1(std::uint8_t code);

/// E8M0 scale (OCP Microscaling Formats 1.0 section 5.4.1): 2^(code - 127); 255 is NaN.
[[nodiscard]] float decode_e8m0(std::uint8_t code);

/// The E8M0 code of 2^(floor(log2 value) - shift), clamped to 2^-127..2^127; zero gives code 0, and
/// what has no such power (negative, infinite, NaN) gives 255.
[[nodiscard]] std::uint8_t encode_e8m0_floor(float value, int shift = 0);

}  // namespace tandem::formats
