// Reference operator: Gated DeltaNet (Yang et al., arXiv 2412.06464) in its recurrent and chunked
// forms, with the short convolution, the gates and the norms around it.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "sim/numerics/ops/arithmetic.hpp"

namespace tandem::ops {

/// Widths of a gated delta layer; value_heads is a multiple of key_heads, and value head h uses key
/// head h / (value_heads / key_heads).
struct GatedDeltaShape {
  std::int64_t key_heads = 0;
  std::int64_t value_heads = 0;
  std::int64_t key_dim = 0;
  std::int64_t value_dim = 0;
  std::int64_t conv_taps = 4;
  std::int64_t chunk = 64;  ///< tokens per chunk of the chunked form
  /// Channels of the convolution: q, k and v side by side.
  [[nodiscard]] std::int64_t conv_channels() const {
    return 2 * key_heads * key_dim + value_heads * value_dim;
  }
  [[nodiscard]] std::int64_t value_width() const { return value_heads * value_dim; }
  /// Elements of the recurrent state, [value_head][key_dim][value_dim].
  [[nodiscard]] std::int64_t state_elements() const { return value_heads * key_dim * value_dim; }
  /// Elements of the convolution's state: the last conv_taps - 1 inputs, oldest first.
  [[nodiscard]] std::int64_t conv_state_elements() const {
    return (conv_taps - 1) * conv_channels();
  }
  bool operator==(const GatedDeltaShape&) const = default;
};

/// Throws ModelError for sizes under 1 and value heads that key heads do not divide.
void check_gated_delta(const GatedDeltaShape& shape);

/// What a sequence leaves behind in one layer. A copy is a snapshot: putting it back undoes tokens.
struct GatedDeltaState {
  std::vector<float> recurrent;                            ///< [value_head][key_dim][value_dim]
  std::vector<float> conv;                                 ///< [tap][channel], oldest first
  explicit GatedDeltaState(const GatedDeltaShape& shape);  ///< zeros; throws ModelError as above
  GatedDeltaState() = default;
  bool operator==(const GatedDeltaState&) const = default;
};

/// Depthwise causal convolution of one token's channels and silu: y[c] = silu(sum over i of w[c][i]
/// x[t - taps + 1 + i][c]), no bias; shifts `input` into the state. `weight` is [channel][tap]. The
/// sum is a float, oldest tap first. `out` may be `input`.
void short_convolution(const GatedDeltaShape& shape, std::span<const float> weight,
                       std::span<const float> input, std::span<float> conv_state,
                       std::span<float> out);

/// x / sqrt(sum(x^2) + 1e-6) per head of `head_dim`, in place; the sum is a double.
void l2_normalise_heads(std::span<float> heads, std::int64_t head_dim);

/// Gates of one token per value head: beta = sigmoid(b) and log decay g = -e^A_log softplus(a +
/// dt_bias). softplus(x) = x above 20, as PyTorch has it.
void delta_gates(std::span<const float> a, std::span<const float> b, std::span<const float> a_log,
                 std::span<const float> dt_bias, std::span<float> log_decay, std::span<float> beta);

/// Inputs of T tokens: q and k [T][key_heads][key_dim] l2-normalised, v
/// [T][value_heads][value_dim], log_decay (finite, at most 0) and beta [T][value_heads]. q is
/// scaled by 1 / sqrt(key_dim) inside.
struct GatedDeltaTokens {
  std::span<const float> q, k, v, log_decay, beta;
  std::int64_t tokens = 0;
};

/// One token after another, per value head: S <- e^g S; delta = beta (v - S^T k); S <- S + k
/// delta^T; o = S^T q. The state is a float after every token, what is between is double, so T
/// tokens at once give the bits of T calls with one. `recurrent` is read and left as after the last
/// token; `out` is [T][value_heads][value_dim]. Source: fla-org/flash-linear-attention@bc3b101d
/// fla/ops/gated_delta_rule/naive.py.
void gated_delta_recurrent(const GatedDeltaShape& shape, const GatedDeltaTokens& tokens,
                           std::span<float> recurrent, std::span<float> out);

/// The same in chunks of shape.chunk tokens, the last one shorter: with G = cumsum(g) in a chunk,
/// A_ij = beta_i (k_i . k_j) e^(G_i - G_j) for j < i, (I + A) U = beta v, (I + A) W = beta e^G k,
/// V' = U - W S, o_i = e^(G_i) q_i S + sum over j <= i of (q_i . k_j) e^(G_i - G_j) V'_j,
/// S <- e^(G_last) S + sum k_i e^(G_last - G_i) V'_i^T. U, W, V' and the state are float, sums are
/// double. Both throw ModelError as check_gated_delta() does.
void gated_delta_chunked(const GatedDeltaShape& shape, const GatedDeltaTokens& tokens,
                         std::span<float> recurrent, std::span<float> out);

/// Norm of the outputs, then the gate, per head of weight.size(): y = silu(z) (w x / rms(x)).
/// `out` may be `x` or `z`. Source: huggingface/transformers modular_qwen3_next.py,
/// Qwen3NextRMSNormGated.
void gated_rmsnorm(std::span<const float> x, std::span<const float> weight,
                   std::span<const float> z, float epsilon, std::span<float> out);

}  // namespace tandem::ops
