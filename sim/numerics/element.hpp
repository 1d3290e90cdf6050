// Element formats: how one number is stored, and conversion to and from float. Shared by the
// reference operators and by every chip, so that "the same format" means the same bits.
#pragma once

#include <cstdint>
#include <string_view>

namespace tandem {

enum class ElementType : std::uint8_t { Float32, Bfloat16, Float16, Fp8E4m3, Fp8E5m2, Int8, Int32 };

[[nodiscard]] constexpr int bytes_of(ElementType type) {
  switch (type) {
    case ElementType::Float32:
    case ElementType::Int32:
      return 4;
    case ElementType::Bfloat16:
    case ElementType::Float16:
      return 2;
    case ElementType::Fp8E4m3:
    case ElementType::Fp8E5m2:
    case ElementType::Int8:
      return 1;
  }
  return 0;
}

[[nodiscard]] std::string_view name_of(ElementType type);

// Encoders round to nearest, ties to even. Overflow: bfloat16, float16 and e5m2 go to infinity as
// IEEE 754 does; e4m3 (OCP FN variant: no infinity, max 448) and int8 (-127..127) saturate.
// NaN stays NaN; int8 has none and maps it to 0.
[[nodiscard]] std::uint16_t encode_bfloat16(float value);
[[nodiscard]] float decode_bfloat16(std::uint16_t bits);
[[nodiscard]] std::uint16_t encode_float16(float value);
[[nodiscard]] float decode_float16(std::uint16_t bits);
[[nodiscard]] std::uint8_t encode_fp8_e4m3(float value);
[[nodiscard]] float decode_fp8_e4m3(std::uint8_t bits);
[[nodiscard]] std::uint8_t encode_fp8_e5m2(float value);
[[nodiscard]] float decode_fp8_e5m2(std::uint8_t bits);
[[nodiscard]] std::int8_t encode_int8(float value);

/// The value of `type`'s bit pattern (low bytes of `bits`), and the pattern nearest to a value.
[[nodiscard]] float decode_element(ElementType type, std::uint32_t bits);
[[nodiscard]] std::uint32_t encode_element(ElementType type, float value);
/// What is left of `value` after storing it as `type` and reading it back.
[[nodiscard]] float round_to(ElementType type, float value);

}  // namespace tandem
