// Special functions with the same bits on every host: built from IEEE add, multiply, divide and
// square root in double precision and rounded once to float. Chips' special-function units and the
// references in chip formats are defined by these. Error at most 0.51 ulp of float where finite.
#pragma once

namespace tandem::special {

[[nodiscard]] float exp(float x);   ///< underflows to 0, overflows to infinity
[[nodiscard]] float log2(float x);  ///< -inf at 0, NaN below
[[nodiscard]] float tanh(float x);
[[nodiscard]] float rsqrt(float x);  ///< 1 / sqrt(x)
[[nodiscard]] float recip(float x);  ///< 1 / x

}  // namespace tandem::special
