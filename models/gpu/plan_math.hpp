// Whole-number arithmetic that plans share.
#pragma once

#include <cstdint>

namespace tandem::gpu {

/// Pieces of size `b` that hold `a`.
[[nodiscard]] constexpr std::int64_t ceil_div(std::int64_t a, std::int64_t b) {
  return (a + b - 1) / b;
}

}  // namespace tandem::gpu
