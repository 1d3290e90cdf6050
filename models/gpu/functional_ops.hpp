// What the CTAs of a GPU kernel compute, on real numbers and in fixed order. Only element
// conversions, special functions and the innermost dot product are shared with the references.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "sim/describe/neural_network.hpp"
#include "sim/numerics/element.hpp"

namespace tandem::gpu {

/// Tokens of a KV block: scores are folded block by block, ascending from position 0, whatever the
/// tiles and splits of the plan, so that prefill and decode give the same bits.
inline constexpr std::int64_t fold_tokens = 64;

/// Dot product of the tensor pipe: fp32 in float ascending, narrower types exact in double and
/// rounded once.
[[nodiscard]] float matrix_dot(ElementType math, std::span<const float> a,
                               std::span<const float> b);

/// The same as partial sums over `part` elements each, added in float in ascending order: what the
/// CTAs of a split-K plan and the reduction behind them do.
[[nodiscard]] float matrix_dot_in_parts(ElementType math, std::span<const float> a,
                                        std::span<const float> b, std::int64_t part);

/// y = round(w * (x / rms(x))), with w = weight, 1 + weight or, where `weight` is empty, 1. `y` may
/// be `x`.
void norm_row(std::span<const float> x, std::span<const float> weight, bool one_plus,
              double epsilon, ElementType type, std::span<float> y);

/// The same where the mean of the squares counts more than this row: of all heads of a layer.
void norm_row_of_mean(std::span<const float> x, std::span<const float> weight, bool one_plus,
                      double epsilon, float mean, ElementType type, std::span<float> y);

/// y = round((x - mean) / deviation * weight + bias). `y` may be `x`.
void layer_norm_row(std::span<const float> x, std::span<const float> weight,
                    std::span<const float> bias, double epsilon, ElementType type,
                    std::span<float> y);

/// 1 / (1 + e^-x), and x times that.
[[nodiscard]] float sigmoid_of(float x);
[[nodiscard]] float silu_of(float x);
/// cap tanh(x / cap); x where the cap is 0.
[[nodiscard]] float capped(float x, double cap);

/// act(gate) * up, rounded; `gate_up` holds gate then up.
void activation_row(ActivationKind kind, std::span<const float> gate_up, ElementType type,
                    std::span<float> y);
/// act(x), rounded. Throws ModelError for ClampedSwiglu, which needs a gate.
void ungated_activation_row(ActivationKind kind, std::span<const float> x, ElementType type,
                            std::span<float> y);

/// Online softmax of one query row: scores of a block are folded in; values are added up.
class OnlineSoftmax {
 public:
  explicit OnlineSoftmax(std::int64_t head_dim)
      : sums_(static_cast<std::size_t>(head_dim)), block_(static_cast<std::size_t>(head_dim)) {}
  /// Folds a block of scores with value rows `value(i)`.
  template <class ValueRow>
  void fold(std::span<float> scores, const ValueRow& value) {
    const float block_sum = exponentiate(scores);
    for (float& sum : block_) sum = 0;
    for (std::size_t i = 0; i < scores.size(); ++i) {
      const std::span<const float> row = value(static_cast<std::int64_t>(i));
      for (std::size_t d = 0; d < block_.size(); ++d) block_[d] += scores[i] * row[d];
    }
    merge(block_sum);
  }
  /// A learned logit that takes its share of the softmax and adds no value.
  void fold_sink(float logit);
  /// Adds what another CTA folded of the same row.
  void join(const OnlineSoftmax& part);
  /// The weighted mean, rounded to `type`; 0 where nothing was folded.
  void finish(ElementType type, std::span<float> out) const;

 private:
  /// Turns scores into exp(score - block maximum); returns their sum in ascending order.
  float exponentiate(std::span<float> scores);
  /// Rescales the running sums and the block's to the larger maximum and adds them.
  void merge(float block_sum);

  std::vector<float> sums_;
  std::vector<float> block_;
  float maximum_ = 0;
  float block_maximum_ = 0;
  float total_ = 0;
  bool is_empty_ = true;
};

}  // namespace tandem::gpu
