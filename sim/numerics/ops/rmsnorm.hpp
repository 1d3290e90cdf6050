// Reference operator: root-mean-square normalisation (Zhang and Sennrich, NeurIPS 2019).
#pragma once

#include <span>

namespace tandem::ops {

/// out[i] = weight[i] * (x[i] / sqrt(mean(x^2) + epsilon)). The sum of squares is one float
/// accumulator in ascending order, as llama2.c run.c rmsnorm() has it. `out` may be `x`.
void rmsnorm(std::span<const float> x, std::span<const float> weight, float epsilon,
             std::span<float> out);

}  // namespace tandem::ops
