// Bits and small numbers in byte arrays. Code i of width w occupies bits [i*w, (i+1)*w) of a little
// endian bit string: low nibble first for 4 bits, eight codes in three bytes for 3 bits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "sim/numerics/element.hpp"

namespace tandem::formats {

/// Bytes that `count` codes of `width` bits take.
[[nodiscard]] constexpr std::size_t packed_bytes(std::size_t count, int width) {
  return (count * static_cast<std::size_t>(width) + 7) / 8;
}

/// The `width` (1..8) bits from bit `position` on.
[[nodiscard]] constexpr std::uint32_t read_bits(std::span<const std::uint8_t> bytes,
                                                std::size_t position, int width) {
  const std::size_t first = position / 8;
  const auto shift = static_cast<int>(position % 8);
  std::uint32_t window = bytes[first];
  if (shift + width > 8) {
    window |= static_cast<std::uint32_t>(bytes[first + 1]) << 8;
  }
  return (window >> shift) & ((1U << width) - 1U);
}

/// Sets the `width` (1..8) bits from bit `position` on to the low bits of `value`.
constexpr void write_bits(std::span<std::uint8_t> bytes, std::size_t position, int width,
                          std::uint32_t value) {
  const std::size_t first = position / 8;
  const auto shift = static_cast<int>(position % 8);
  const std::uint32_t mask = ((1U << width) - 1U) << shift;
  const std::uint32_t placed = (value << shift) & mask;
  bytes[first] = static_cast<std::uint8_t>((bytes[first] & ~mask) | placed);
  if (shift + width > 8) {
    bytes[first + 1] = static_cast<std::uint8_t>((bytes[first + 1] & ~(mask >> 8)) | (placed >> 8));
  }
}

/// `value` as IEEE half precision in the two bytes at `offset`, low byte first.
inline void store_float16(std::span<std::uint8_t> bytes, std::size_t offset, float value) {
  const std::uint16_t bits = encode_float16(value);
  bytes[offset] = static_cast<std::uint8_t>(bits & 0xffU);
  bytes[offset + 1] = static_cast<std::uint8_t>(bits >> 8);
}

[[nodiscard]] inline float load_float16(std::span<const std::uint8_t> bytes, std::size_t offset) {
  return decode_float16(static_cast<std::uint16_t>(bytes[offset] | (bytes[offset + 1] << 8)));
}

}  // namespace tandem::formats
