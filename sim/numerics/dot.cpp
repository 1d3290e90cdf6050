#include "sim/numerics/dot.hpp"

#include <array>
#include <cassert>
#include <cstring>
#include <limits>

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#endif

namespace tandem {
namespace {

// Where the host has AVX2, the same sums in the same order take half the instructions. No function
// here may contract a product and a sum: every host must give the same bits.
#if defined(__x86_64__) && defined(__GNUC__)
#define TANDEM_AVX2 __attribute__((target("avx2")))
const bool has_avx2 = __builtin_cpu_supports("avx2") != 0;

using Float4 = float __attribute__((vector_size(16)));
using Double4 = double __attribute__((vector_size(32)));

TANDEM_AVX2 void add_products(const float* a, const float* b, std::size_t count,
                              std::array<double, 4>& partial) {
  Double4 sums{};
  for (std::size_t i = 0; i < count; i += 4) {
    Float4 x, y;
    std::memcpy(&x, a + i, sizeof x);
    std::memcpy(&y, b + i, sizeof y);
    sums += __builtin_convertvector(x, Double4) * __builtin_convertvector(y, Double4);
  }
  std::memcpy(partial.data(), &sums, sizeof sums);
}

TANDEM_AVX2 std::int32_t add_products(const std::int8_t* a, const std::int8_t* b,
                                      std::size_t count) {
  __m256i sums = _mm256_setzero_si256();
  for (std::size_t i = 0; i < count; i += 16) {
    const auto x = _mm_loadu_si128(reinterpret_cast<const __m128i*>(a + i));
    const auto y = _mm_loadu_si128(reinterpret_cast<const __m128i*>(b + i));
    sums =
        _mm256_add_epi32(sums, _mm256_madd_epi16(_mm256_cvtepi8_epi16(x), _mm256_cvtepi8_epi16(y)));
  }
  std::array<std::int32_t, 8> lanes{};
  std::memcpy(lanes.data(), &sums, sizeof sums);
  std::uint32_t sum = 0;
  for (const std::int32_t lane : lanes) sum += static_cast<std::uint32_t>(lane);
  return static_cast<std::int32_t>(sum);
}
#endif

// Compiler vectors of two doubles, the width that every 64-bit host has: partial sums (0, 1) and
// (2, 3) of dot_wide, so the host's vector width does not change a bit.
using Float2 = float __attribute__((vector_size(8)));
using Double2 = double __attribute__((vector_size(16)));

Double2 load_pair(const float* values) {
  Float2 pair;
  std::memcpy(&pair, values, sizeof pair);
  return __builtin_convertvector(pair, Double2);
}

// Four interleaved partial sums of `count` products, a multiple of four.
void add_quadruples(const float* a, const float* b, std::size_t count,
                    std::array<double, 4>& partial) {
#ifdef TANDEM_AVX2
  if (has_avx2) return add_products(a, b, count, partial);
#endif
  Double2 low{0, 0};
  Double2 high{0, 0};
  for (std::size_t i = 0; i < count; i += 4) {
    low += load_pair(a + i) * load_pair(b + i);
    high += load_pair(a + i + 2) * load_pair(b + i + 2);
  }
  partial = {low[0], low[1], high[0], high[1]};
}

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

// A loop of bytes without branches, which compilers turn into vectors: NaN alone carries into the
// sign's place.
bool has_nan(std::span<const std::uint8_t> e4m3_codes) {
  std::uint8_t carries = 0;
  for (const std::uint8_t code : e4m3_codes) {
    carries = static_cast<std::uint8_t>(carries | ((code & 0x7fU) + 1U));
  }
  return (carries & 0x80U) != 0;
}

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
  const std::size_t whole = a.size() & ~std::size_t{3};
  std::array<double, 4> partial{};
  add_quadruples(a.data(), b.data(), whole, partial);
  for (std::size_t i = whole; i < a.size(); ++i) {
    partial[i - whole] += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  }
  return static_cast<float>((partial[0] + partial[1]) + (partial[2] + partial[3]));
}

float dot_fp8_e4m3(std::span<const std::uint8_t> a, std::span<const std::uint8_t> b) {
  assert(a.size() == b.size());
  if (has_nan(a) || has_nan(b)) return std::numeric_limits<float>::quiet_NaN();
  std::int64_t sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    sum += static_cast<std::int64_t>(e4m3_integers[a[i]]) * e4m3_integers[b[i]];
  }
  return static_cast<float>(sum) * 0x1p-18F;  // the product with a power of two is exact
}

std::int32_t dot_int8(std::span<const std::int8_t> a, std::span<const std::int8_t> b) {
  assert(a.size() == b.size());
  std::int32_t sum = 0;
  std::size_t i = 0;
#ifdef TANDEM_AVX2
  if (has_avx2) {
    i = a.size() & ~std::size_t{15};
    sum = add_products(a.data(), b.data(), i);
  }
#endif
  for (; i < a.size(); ++i) {
    sum += static_cast<std::int32_t>(a[i]) * static_cast<std::int32_t>(b[i]);
  }
  return sum;
}

}  // namespace tandem
