#include "sim/numerics/ops/swiglu.hpp"

#include <cassert>

#include "sim/numerics/special.hpp"

namespace tandem::ops {

void swiglu(std::span<const float> gate, std::span<const float> up, std::span<float> out) {
  assert(gate.size() == up.size() && gate.size() == out.size());
  for (std::size_t i = 0; i < gate.size(); ++i) {
    const float sigmoid = 1.0F / (1.0F + special::exp(-gate[i]));
    out[i] = gate[i] * sigmoid * up[i];
  }
}

}  // namespace tandem::ops
