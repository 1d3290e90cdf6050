// Reference operator: matrix times vector.
#pragma once

#include <span>

namespace tandem::ops {

/// out[r] = sum over c of weight[r][c] * x[c], weight row-major [out.size(), x.size()]; each row
/// one float accumulator in ascending order of c, as llama2.c run.c matmul() has it.
void linear(std::span<const float> weight, std::span<const float> x, std::span<float> out);

}  // namespace tandem::ops
