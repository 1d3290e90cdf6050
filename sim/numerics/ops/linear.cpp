#include "sim/numerics/ops/linear.hpp"

#include <cassert>

#include "sim/numerics/dot.hpp"

namespace tandem::ops {

void linear(std::span<const float> weight, std::span<const float> x, std::span<float> out) {
  assert(weight.size() == x.size() * out.size());
  for (std::size_t row = 0; row < out.size(); ++row) {
    out[row] = dot_float32(weight.subspan(row * x.size(), x.size()), x);
  }
}

}  // namespace tandem::ops
