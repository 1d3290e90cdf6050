// Reference operator: SwiGLU (Shazeer, "GLU Variants Improve Transformer", 2020).
#pragma once

#include <span>

namespace tandem::ops {

/// out[i] = gate[i] * (1 / (1 + e^-gate[i])) * up[i]. `out` may be `gate` or `up`.
void swiglu(std::span<const float> gate, std::span<const float> up, std::span<float> out);

}  // namespace tandem::ops
