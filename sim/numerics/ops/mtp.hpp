// Reference operator: what a multi-token-prediction module does before its decoder layer.
#pragma once

#include <span>

#include "sim/numerics/ops/arithmetic.hpp"

namespace tandem::ops {

/// Weights of the combination. The norms' factors are those multiplied by: 1 + w where the model
/// stores w.
struct MtpWeights {
  std::span<const float> embedding_norm;  ///< [hidden], "enorm"
  std::span<const float> hidden_norm;     ///< [hidden], "hnorm"
  std::span<const float> projection;      ///< [hidden, 2 hidden], "eh_proj"
};

/// h' = W [rms(e); rms(h)]: e is the embedding of token i + 1, h the main model's (or the previous
/// module's) hidden state of token i. Both norms are rounded to the arithmetic's type before the
/// product, the result once. The embedding's half comes first, as the published weights have it
/// (vllm-project/vllm@03356f8 model_executor/models/deepseek_mtp.py, torch.cat([inputs_embeds,
/// previous_hidden_states])); equation 21 of the paper (arXiv 2412.19437) writes the hidden state
/// first. `out` has `hidden` elements and may be `h` or `e`.
void mtp_combine(const MtpWeights& weights, std::span<const float> embedding,
                 std::span<const float> hidden, float epsilon, const Arithmetic& arithmetic,
                 std::span<float> out);

}  // namespace tandem::ops
