// Random operands for property tests.
#pragma once

#include <cstddef>
#include <vector>

#include "sim/core/random.hpp"

namespace tandem::test {

/// `count` normal values of mean 0 and standard deviation `size`.
inline std::vector<float> draw_normals(RandomStream& random, std::size_t count, double size = 1) {
  std::vector<float> values(count);
  for (float& value : values) {
    value = static_cast<float>(size * random.normal());
  }
  return values;
}

}  // namespace tandem::test
