#include "sim/numerics/dot.hpp"

#include <array>
#include <cassert>
#include <cstring>
#include <limits>

namespace tandem {
namespace {

// Compiler vectors: element i of the lanes is partial sum i, which is the definition of dot_wide,
// so the host's vector width does not change a bit.
using Float4 = float __attribute__((vector_size(16)));
using Double4 = double __attribute__((vector_size(32)));

/// e4m3 code -> value * 2^9, an integer below 2^18; NaN codes map to 0 and are looked for apart.
constexpr std::array<std::int32_t, 256> make_e4m3_integers() {
  std::array<std::int32_t, 256> table{};
  for (int code = 0; code < 256; ++code) {
    const int exponent = (code >> 3) & 15;
    const int mantissa = code & 7;
    const int magnitude = exponent == 0 ? mantissa : (8 + mantissa) << (exponent - 1);
    const bool is_nan = (code & 0x7f) == 0x7f;
    table[static_cast<std::size_t>(code)] = is_nan ? 0 : (code >= 128 ? -magnitude : magnitude);
  }
  return table;
}
constexpr std::array<std::int32_t, 256> e4m3_integers = make_e4m3_integers();

}  // namespace

float dot_float32(std::span<const float> a, std::span<const float> b) {
  assert(a.size() == b.size());
  float sum = 0.0F;
  for (std::size_t i = 0; i < a.size(); ++i) {
    sum += a[i] * b[i];
  }
  return sum;
}

float dot_wide(std::span<const float> a, std::span<const float> b) {
  assert(a.size() == b.size());
  Double4 sums{0, 0, 0, 0};
  const std::size_t whole = a.size() & ~std::size_t{3};
  for (std::size_t i = 0; i < whole; i += 4) {
    Float4 left;
    Float4 right;
    std::memcpy(&left, a.data() + i, sizeof left);
    std::memcpy(&right, b.data() + i, sizeof right);
    sums += __builtin_convertvector(left, Double4) * __builtin_convertvector(right, Double4);
  }
  std::array<double, 4> partial{sums[0], sums[1], sums[2], sums[3]};
  for (std::size_t i = whole; i < a.size(); ++i) {
    partial[i - whole] += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  }
  return static_cast<float>((partial[0] + partial[1]) + (partial[2] + partial[3]));
}

float dot_fp8_e4m3(std::span<const std::uint8_t> a, std::span<const std::uint8_t> b) {
  assert(a.size() == b.size());
  std::int64_t sum = 0;
  bool is_nan = false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    sum += static_cast<std::int64_t>(e4m3_integers[a[i]]) * e4m3_integers[b[i]];
    is_nan = is_nan || (a[i] & 0x7fU) == 0x7fU || (b[i] & 0x7fU) == 0x7fU;
  }
  if (is_nan) {
    return std::numeric_limits<float>::quiet_NaN();
  }
  return static_cast<float>(sum) * 0x1p-18F;  // the product with a power of two is exact
}

std::int32_t dot_int8(std::span<const std::int8_t> a, std::span<const std::int8_t> b) {
  assert(a.size() == b.size());
  std::int32_t sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    sum += static_cast<std::int32_t>(a[i]) * static_cast<std::int32_t>(b[i]);
  }
  return sum;
}

}  // namespace tandem
