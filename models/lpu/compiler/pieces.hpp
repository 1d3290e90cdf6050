// Pieces of work in the type that schedules count with.
#pragma once

#include <cstdint>

#include "sim/core/integers.hpp"

namespace tandem::lpu {

/// Pieces of size `b` that hold `a`; see ceil_div().
[[nodiscard]] constexpr int pieces_of(std::int64_t a, std::int64_t b) {
  return static_cast<int>(ceil_div(a, b));
}

}  // namespace tandem::lpu
