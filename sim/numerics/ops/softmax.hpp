// Reference operator: softmax.
#pragma once

#include <span>

namespace tandem::ops {

/// values[i] = e^(values[i] - max) / sum, in place; the sum is one float accumulator in ascending
/// order, as llama2.c run.c softmax() has it. Nothing happens to an empty span.
void softmax(std::span<float> values);

}  // namespace tandem::ops
