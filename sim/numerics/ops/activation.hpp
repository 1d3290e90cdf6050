// Reference operators: what stands between the two products of a feed-forward block.
#pragma once

#include <cstdint>
#include <span>

namespace tandem::ops {

enum class ActivationKind : std::uint8_t {
  Silu,
  Gelu,           ///< x Phi(x)
  GeluTanh,       ///< 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))
  ClampedSwiglu,  ///< gpt-oss: g = min(g, 7), u = clamp(u, -7, 7); g sigmoid(1.702 g) (u + 1)
};

/// 1 / (1 + e^-x), in float.
[[nodiscard]] float sigmoid(float x);

/// x sigmoid(x), rounded as swiglu() rounds it.
[[nodiscard]] float silu(float x);

/// x Phi(x) = x erfc(-x / sqrt 2) / 2, Phi the normal distribution's (Hendrycks and Gimpel, arXiv
/// 1606.08415). Computed in double, so the tail below zero keeps its relative accuracy; the same
/// bits on every host.
[[nodiscard]] float gelu(float x);

/// 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))), the approximation in the same paper that
/// Gemma and GPT use.
[[nodiscard]] float gelu_tanh(float x);

/// min(g, limit) sigmoid(1.702 min(g, limit)) (clamp(u, -limit, limit) + 1); gates are not limited
/// from below. Source: openai/gpt-oss@7b58334 gpt_oss/torch/model.py, swiglu().
[[nodiscard]] float clamped_swiglu(float gate, float up, float limit = 7.0F);

/// out[i] = f(gate[i]) up[i] for the first three kinds, clamped_swiglu(gate[i], up[i]) for the
/// last. Equal sizes; `out` may be `gate` or `up`. Silu gives swiglu()'s bits.
void gated_activation(ActivationKind kind, std::span<const float> gate, std::span<const float> up,
                      std::span<float> out);

/// out[i] = f(x[i]), for blocks without a gate (GPT-3). Throws ModelError for ClampedSwiglu, which
/// has no form without one. `out` may be `x`.
void activation(ActivationKind kind, std::span<const float> x, std::span<float> out);

/// Parts columns (or rows) stored in turn, as gpt-oss stores gate and up: `even` gets pieces 0, 2,
/// 4, ... of `width` elements each, `odd` the others. width 1 for activations and biases, the
/// row's length for weights [2 n, width].
void split_interleaved(std::span<const float> pieces, std::int64_t width, std::span<float> even,
                       std::span<float> odd);

}  // namespace tandem::ops
