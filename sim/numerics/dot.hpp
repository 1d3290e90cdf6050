// Innermost dot products: the one piece of arithmetic that chips and references share.
#pragma once

#include <cstdint>
#include <span>

namespace tandem {

/// Sum of a[i] * b[i] in float, in ascending order of i, one accumulator (no contraction).
[[nodiscard]] float dot_float32(std::span<const float> a, std::span<const float> b);

/// Products and sums in double as four interleaved partial sums (i mod 4), combined as
/// (s0 + s1) + (s2 + s3) and rounded once to float. For operands of at most 16 bits each product is
/// exact in double.
[[nodiscard]] float dot_wide(std::span<const float> a, std::span<const float> b);

/// Exact sum of products of e4m3 codes, rounded once to float. A product of two e4m3 values is a
/// multiple of 2^-18 below 2^18, so 64-bit integers hold any sum of up to 2^26 of them.
[[nodiscard]] float dot_fp8_e4m3(std::span<const std::uint8_t> a, std::span<const std::uint8_t> b);

[[nodiscard]] std::int32_t dot_int8(std::span<const std::int8_t> a, std::span<const std::int8_t> b);

}  // namespace tandem
