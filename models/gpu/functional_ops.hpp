// What the CTAs of a GPU kernel compute, on real numbers and in fixed order. Only element
// conversions, special functions and the innermost dot product are shared with the references.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "sim/describe/dense_decoder.hpp"
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

/// y = round(weight * (x / rms(x))).
void norm_row(std::span<const float> x, std::span<const float> weight, double epsilon,
              ElementType type, std::span<float> y);

/// silu(gate) * up, rounded; `gate_up` holds gate then up.
void activation_row(std::span<const float> gate_up, ElementType type, std::span<float> y);

/// Rotation angles of one position: cosine and sine per pair.
class RopeTable {
 public:
  RopeTable(const DenseDecoder& network, std::int64_t positions);
  /// Rotates one head in place.
  void rotate(std::int64_t position, std::span<float> head) const;

 private:
  RopeLayout layout_;
  std::int64_t pairs_;
  std::vector<float> cosine_;
  std::vector<float> sine_;
};

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
