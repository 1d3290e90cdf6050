#include "sim/numerics/formats/scale.hpp"

#include <limits>

namespace tandem::formats {
namespace {

/// The element type with the same bits; E8m0 has none.
ElementType element_of(ScaleType type) {
  switch (type) {
    case ScaleType::Bfloat16:
      return ElementType::Bfloat16;
    case ScaleType::Float16:
      return ElementType::Float16;
    case ScaleType::Fp8E4m3:
      return ElementType::Fp8E4m3;
    case ScaleType::Float32:
    case ScaleType::E8m0:
      break;
  }
  return ElementType::Float32;
}

}  // namespace

std::uint32_t encode_scale(ScaleType type, float value) {
  return type == ScaleType::E8m0 ? encode_e8m0_floor(value)
                                 : encode_element(element_of(type), value);
}

float decode_scale(ScaleType type, std::uint32_t bits) {
  return type == ScaleType::E8m0 ? decode_e8m0(static_cast<std::uint8_t>(bits))
                                 : decode_element(element_of(type), bits);
}

void append_scale(ScaleType type, std::uint32_t bits, std::vector<std::uint8_t>& bytes) {
  for (int i = 0; i < bytes_of(type); ++i) {
    bytes.push_back(static_cast<std::uint8_t>((bits >> (8 * i)) & 0xffU));
  }
}

float load_scale(ScaleType type, std::span<const std::uint8_t> bytes, std::size_t index) {
  const auto width = static_cast<std::size_t>(bytes_of(type));
  std::uint32_t bits = 0;
  for (std::size_t i = 0; i < width; ++i) {
    bits |= static_cast<std::uint32_t>(bytes[index * width + i]) << (8 * i);
  }
  return decode_scale(type, bits);
}

}  // namespace tandem::formats
