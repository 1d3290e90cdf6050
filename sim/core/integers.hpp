// Whole-number arithmetic that every room shares.
#pragma once

#include <cstddef>
#include <cstdint>

namespace tandem {

/// A count or a number as the index of a container. `value` must not be negative.
[[nodiscard]] constexpr std::size_t index_of(std::int64_t value) {
  return static_cast<std::size_t>(value);
}

/// Pieces of size `b` that hold `a`. Neither may be negative; `b` is positive.
[[nodiscard]] constexpr std::int64_t ceil_div(std::int64_t a, std::int64_t b) {
  return (a + b - 1) / b;
}

}  // namespace tandem
