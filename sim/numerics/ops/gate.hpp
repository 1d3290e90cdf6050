// Reference operators: gates and caps that scale values one by one.
#pragma once

#include <span>

namespace tandem::ops {

/// values[i] *= sigmoid(gate[i]): the output gate of attention, before the output projection.
/// Source: huggingface/transformers modular_qwen3_next.py, Qwen3NextAttention.
void sigmoid_gate(std::span<float> values, std::span<const float> gate);

/// values[i] *= sigmoid(logit): one gate for all, as on Qwen's shared expert. Source: as above,
/// Qwen3NextSparseMoeBlock.
void sigmoid_gate(std::span<float> values, float logit);

/// values[i] = cap tanh(values[i] / cap); nothing where cap is 0. Gemma 2 (arXiv 2408.00118,
/// section 2): 50 on attention scores, 30 on logits.
void softcap(std::span<float> values, float cap);

/// values[i] *= factor.
void scale(std::span<float> values, float factor);

}  // namespace tandem::ops
