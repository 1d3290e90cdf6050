// Range reduction by powers of two and truncated power series in double. The series errors stated
// below are relative and far under the 2^-31 that a correct rounding to float at 0.51 ulp needs.
#include "sim/numerics/special.hpp"

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

namespace tandem::special {
namespace {

constexpr float nan = std::numeric_limits<float>::quiet_NaN();
constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr double ln2 = 0x1.62e42fefa39efp-1;
constexpr double log2_e = 0x1.71547652b82fep+0;

/// 2^k for -1022 <= k <= 1023.
double power_of_two(std::int64_t k) {
  return std::bit_cast<double>(static_cast<std::uint64_t>(k + 1023) << 52);
}

/// 1 / n! at index n - 1.
constexpr std::array<double, 14> make_inverse_factorials() {
  std::array<double, 14> values{};
  double factorial = 1;
  for (std::size_t i = 0; i < values.size(); ++i) {
    factorial *= static_cast<double>(i + 1);
    values[i] = 1.0 / factorial;
  }
  return values;
}
constexpr std::array<double, 14> inverse_factorials = make_inverse_factorials();

/// e^r - 1 for |r| <= 1/2 by its Taylor series to r^14; the first term left out is 2^-15 / 15!.
double expm1_series(double r) {
  double sum = 0;
  for (std::size_t i = inverse_factorials.size(); i-- > 0;) {
    sum = sum * r + inverse_factorials[i];
  }
  return sum * r;
}

/// e^x in double for |x| <= 700.
double exp_double(double x) {
  const double scaled = x * log2_e;
  const auto k = static_cast<std::int64_t>(scaled < 0 ? scaled - 0.5 : scaled + 0.5);
  const double r = x - static_cast<double>(k) * ln2;  // |r| <= ln2 / 2
  return (1.0 + expm1_series(r)) * power_of_two(k);
}

}  // namespace

float exp(float x) {
  if (x != x) {
    return nan;
  }
  if (x > 89.0F) {  // e^88.73 is the first value above the largest float
    return infinity;
  }
  if (x < -104.0F) {  // e^-103.98 is half the smallest subnormal
    return 0.0F;
  }
  return static_cast<float>(exp_double(static_cast<double>(x)));
}

float log2(float x) {
  if (x != x || x < 0.0F) {
    return nan;
  }
  if (x == 0.0F) {
    return -infinity;
  }
  if (x == infinity) {
    return infinity;
  }
  // x = 2^e * m with m in [sqrt(1/2), sqrt(2)); floats of all sizes are normal doubles.
  const auto bits = std::bit_cast<std::uint64_t>(static_cast<double>(x));
  auto e = static_cast<std::int64_t>(bits >> 52) - 1023;
  double m = std::bit_cast<double>((bits & 0xfffffffffffffULL) | (1023ULL << 52));
  if (m > 1.4142135623730951) {
    m *= 0.5;
    ++e;
  }
  // ln m = 2 atanh(s), s = (m - 1) / (m + 1), |s| < 0.172; to s^21, next term under 2^-57.
  const double s = (m - 1.0) / (m + 1.0);
  const double square = s * s;
  double series = 0;
  for (int n = 21; n >= 1; n -= 2) {
    series = series * square + 1.0 / n;
  }
  return static_cast<float>(static_cast<double>(e) + 2.0 * log2_e * s * series);
}

float tanh(float x) {
  if (x != x) {
    return nan;
  }
  const double a = std::fabs(static_cast<double>(x));
  double magnitude = 1.0;
  if (a < 0.25) {  // tanh a = (e^2a - 1) / (e^2a + 1) without cancellation
    const double d = expm1_series(2.0 * a);
    magnitude = d / (d + 2.0);
  } else if (a < 10.0) {  // above, 1 - tanh a < 2^-25 rounds to 1
    const double t = exp_double(2.0 * a);
    magnitude = (t - 1.0) / (t + 1.0);
  }
  return std::copysign(static_cast<float>(magnitude), x);
}

float rsqrt(float x) {
  if (x != x || x < 0.0F) {
    return nan;
  }
  return static_cast<float>(1.0 / std::sqrt(static_cast<double>(x)));
}

float recip(float x) {
  if (x != x) {
    return nan;
  }
  return static_cast<float>(1.0 / static_cast<double>(x));
}

}  // namespace tandem::special
