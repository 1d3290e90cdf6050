// Reference operators: feed-forward blocks, dense or as experts, of one token.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "sim/numerics/ops/activation.hpp"
#include "sim/numerics/ops/arithmetic.hpp"
#include "sim/numerics/ops/router.hpp"

namespace tandem::ops {

/// Weights of one block, row-major. Without `gate` the block is down(act(up x)); biases may be
/// empty. Widths follow from the spans: inner = up.size() / x.size().
struct FfnWeights {
  std::span<const float> gate;                ///< [inner, hidden], or empty
  std::span<const float> up;                  ///< [inner, hidden]
  std::span<const float> down;                ///< [out, inner]
  std::span<const float> gate_bias, up_bias;  ///< [inner]
  std::span<const float> down_bias;           ///< [out]
};

/// out = down(act(gate x) * up x), each projection with its bias: what Shazeer ("GLU Variants
/// Improve Transformer", 2020) calls SwiGLU for Silu. The projections, the activation and the
/// result are each rounded once to the arithmetic's type. `out` may be `x`.
void ffn(const FfnWeights& weights, ActivationKind kind, const Arithmetic& arithmetic,
         std::span<const float> x, std::span<float> out);

/// The experts that every token takes, side by side as one block of their joint width: the sum of
/// n blocks is one block with n times the rows of gate and up and n times the columns of down.
struct SharedExpert {
  FfnWeights weights;           ///< no expert where `up` is empty
  std::span<const float> gate;  ///< [hidden]: output times sigmoid(gate . x) (Qwen); empty: times 1
};

/// out = sum over routes, in their order, of weight * ffn_expert(x), plus the shared expert.
/// Experts' outputs are rounded to the arithmetic's type; the sum is a float that starts at zero
/// and is rounded once. Sources: deepseek-ai/DeepSeek-V3@9b4e978 inference/model.py, MoE (y + z);
/// huggingface/transformers modular_qwen3_next.py, Qwen3NextSparseMoeBlock (the gate). A route's
/// expert is an index into `experts`; `out` may be `x`. Throws ModelError for an expert outside.
void expert_mix(std::span<const Route> routes, std::span<const FfnWeights> experts,
                const SharedExpert& shared, ActivationKind kind, const Arithmetic& arithmetic,
                std::span<const float> x, std::span<float> out);

/// One row of a grouped product: a token's copy on its way to an expert.
struct ExpertRow {
  std::int64_t token = 0;
  std::int64_t rank = 0;  ///< which of the token's routes
  float weight = 0;
  bool operator==(const ExpertRow&) const = default;
};

/// Tokens sorted by expert: expert e has rows [first[e], first[e + 1]), tokens ascending.
struct ExpertRows {
  std::vector<std::int64_t> first;  ///< experts + 1 elements
  std::vector<ExpertRow> rows;
  [[nodiscard]] std::int64_t count(std::int64_t expert) const {
    return first[static_cast<std::size_t>(expert) + 1] - first[static_cast<std::size_t>(expert)];
  }
};

/// Sorts the routes of many tokens, [token][top_k], by expert (a counting sort, so tokens keep
/// their order). Throws ModelError for an expert outside or a ragged last token.
[[nodiscard]] ExpertRows spread_tokens(std::span<const Route> routes, std::int64_t top_k,
                                       std::int64_t experts);

}  // namespace tandem::ops
