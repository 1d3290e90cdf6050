// Reference operator: softmax, with or without an attention sink.
#pragma once

#include <span>

namespace tandem::ops {

/// values[i] = e^(values[i] - max) / sum, in place; the sum is one float accumulator in ascending
/// order, as llama2.c run.c softmax() has it. Values equal to the maximum weigh e^0 even where it
/// is infinite: +inf ones share all, and where all are -inf they share alike. NaN makes all NaN.
/// Nothing happens to an empty span.
void softmax(std::span<float> values);

/// The same with one more logit that takes its share of the sum, as the last term, and is dropped:
/// values[i] = e^(values[i] - m) / (sum + e^(sink - m)), m over both. A sink of -inf is none.
/// Source: openai/gpt-oss gpt_oss/torch/model.py, sdpa().
void softmax_with_sink(std::span<float> values, float sink);

}  // namespace tandem::ops
