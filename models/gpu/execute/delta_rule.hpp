// The gated delta rule on one value head (Yang et al., arXiv 2412.06464): token by token, or in
// chunks of matrix products.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace tandem::gpu {

/// Inputs and outputs of a run of tokens on one head; q and k have unit length.
struct DeltaToken {
  std::span<const float> q, k;  ///< [key_dim]
  std::span<const float> v;     ///< [value_dim]
  float log_decay = 0, beta = 0;
  std::span<float> out;  ///< [value_dim]
};

/// Per token S <- e^g S; d = beta (v - S^T k); S <- S + k d^T; out = S^T q / sqrt(key_dim). `state`
/// is S, [key_dim][value_dim], a float after every token; sums are double.
void delta_recurrent(std::span<const DeltaToken> tokens, std::span<float> state);

/// The same for one chunk of tokens at once. With G the sum of g up to a token, the writes d solve
/// (I + A) d = beta (v - e^G S^T k), A_ij = beta_i (k_i k_j) e^(G_i - G_j) for j < i: what U - W S
/// of the paper's section 3.3 is, without U and W. out_i = (e^(G_i) S^T q_i + sum over j <= i of
/// (q_i k_j) e^(G_i - G_j) d_j) / sqrt(key_dim); S <- e^(G_last) S + sum of k_i e^(G_last - G_i)
/// d_i^T. Writes and state are float, sums double.
void delta_chunk(std::span<const DeltaToken> tokens, std::span<float> state);

}  // namespace tandem::gpu
