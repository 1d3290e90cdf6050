// Reference operator: layer normalisation (Ba, Kiros and Hinton, arXiv 1607.06450).
#pragma once

#include <span>

namespace tandem::ops {

/// out[i] = (x[i] - mean) / sqrt(variance + epsilon) * weight[i] + bias[i], with the biased
/// variance mean((x - mean)^2), as torch.nn.LayerNorm has it. `bias` may be empty: none. Mean and
/// variance are one float accumulator each in ascending order, two passes. `out` may be `x`.
void layernorm(std::span<const float> x, std::span<const float> weight, std::span<const float> bias,
               float epsilon, std::span<float> out);

}  // namespace tandem::ops
