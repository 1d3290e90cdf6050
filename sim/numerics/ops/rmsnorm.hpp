// Reference operator: root-mean-square normalisation (Zhang and Sennrich, NeurIPS 2019) in the
// forms that networks use. All compute in float; the caller rounds the result to a format.
#pragma once

#include <cstdint>
#include <span>

namespace tandem::ops {

/// out[i] = weight[i] * (x[i] / sqrt(mean(x^2) + epsilon)). The sum of squares is one float
/// accumulator in ascending order, as llama2.c run.c rmsnorm() has it. `out` may be `x`.
void rmsnorm(std::span<const float> x, std::span<const float> weight, float epsilon,
             std::span<float> out);

/// The same with (1 + weight[i]): weights stored as their distance from 1 (Gemma:
/// google-deepmind/gemma@7691fd4 gm/nn/_layers.py RMSNorm; Qwen3-Next: huggingface/transformers
/// modular_qwen3_next.py Qwen3NextRMSNorm).
void rmsnorm_one_plus(std::span<const float> x, std::span<const float> weight, float epsilon,
                      std::span<float> out);

/// The same with every weight 1 (Gemma's norm of V, and norms whose weight is folded elsewhere).
void rmsnorm_unweighted(std::span<const float> x, float epsilon, std::span<float> out);

/// QK norm: every head of `heads` (consecutive runs of head_dim) normalised by itself, in place, by
/// one weight [head_dim] for all of them; `one_plus` as in rmsnorm_one_plus (Qwen3:
/// huggingface/transformers modeling_qwen3.py Qwen3Attention). A norm over the concatenated heads
/// (MiniMax M2) is rmsnorm() of the whole.
void rmsnorm_heads(std::span<float> heads, std::int64_t head_dim, std::span<const float> weight,
                   float epsilon, bool one_plus);

}  // namespace tandem::ops
