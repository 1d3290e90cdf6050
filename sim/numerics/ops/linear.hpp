// Reference operator: matrix times vector.
#pragma once

#include <span>

#include "sim/numerics/ops/arithmetic.hpp"

namespace tandem::ops {

/// out[r] = sum over c of weight[r][c] * x[c], weight row-major [out.size(), x.size()]; each row
/// one float accumulator in ascending order of c, as llama2.c run.c matmul() has it.
void linear(std::span<const float> weight, std::span<const float> x, std::span<float> out);

/// out[r] = weight[r] . x + bias[r] in a format: the product as Arithmetic::dot has it, the bias
/// added in float, the result rounded once. `bias` may be empty: none. With Float32 and no bias the
/// bits are those of the plain form.
void linear(std::span<const float> weight, std::span<const float> x, std::span<const float> bias,
            const Arithmetic& arithmetic, std::span<float> out);

}  // namespace tandem::ops
