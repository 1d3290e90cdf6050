#include "sim/numerics/ops/residual.hpp"

#include <cassert>

namespace tandem::ops {

void residual(std::span<float> x, std::span<const float> delta) {
  assert(x.size() == delta.size());
  for (std::size_t i = 0; i < x.size(); ++i) {
    x[i] += delta[i];
  }
}

}  // namespace tandem::ops
