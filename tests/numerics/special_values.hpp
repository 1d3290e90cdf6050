// Values of binary32 that tests of numerics meet everywhere.
#pragma once

#include <limits>

namespace tandem {

inline constexpr float infinity = std::numeric_limits<float>::infinity();
inline constexpr float quiet_nan = std::numeric_limits<float>::quiet_NaN();

}  // namespace tandem
