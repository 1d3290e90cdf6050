#include "sim/numerics/ops/linear.hpp"

#include <cassert>

namespace tandem::ops {

void linear(std::span<const float> weight, std::span<const float> x, std::span<float> out) {
  linear(weight, x, {}, {}, out);
}

void linear(std::span<const float> weight, std::span<const float> x, std::span<const float> bias,
            const Arithmetic& arithmetic, std::span<float> out) {
  assert(weight.size() == x.size() * out.size());
  assert(bias.empty() || bias.size() == out.size());
  for (std::size_t row = 0; row < out.size(); ++row) {
    const float product = arithmetic.dot(weight.subspan(row * x.size(), x.size()), x);
    out[row] = arithmetic.rounded(bias.empty() ? product : product + bias[row]);
  }
}

}  // namespace tandem::ops
