// Scales as stored numbers: encoding, decoding, and their place in a byte array.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "sim/numerics/formats/quant_format.hpp"

namespace tandem::formats {

/// The stored bits of `value`, rounded to nearest even (E8m0: down to a power of two).
[[nodiscard]] std::uint32_t encode_scale(ScaleType type, float value);
[[nodiscard]] float decode_scale(ScaleType type, std::uint32_t bits);

/// Appends `bits` in the width of `type`, low byte first.
void append_scale(ScaleType type, std::uint32_t bits, std::vector<std::uint8_t>& bytes);
/// Scale number `index` of an array of scales.
[[nodiscard]] float load_scale(ScaleType type, std::span<const std::uint8_t> bytes,
                               std::size_t index);

}  // namespace tandem::formats
