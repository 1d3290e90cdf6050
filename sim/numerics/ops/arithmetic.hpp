// How an operator computes on values of a format, so that one operator serves fp32 and all others.
#pragma once

#include <cstdint>
#include <span>

#include "sim/numerics/element.hpp"

namespace tandem::ops {

/// Operands of matrix products are values of `type` (an operator rounds its own intermediates, such
/// as softmax weights, before they enter a product); everything between is float; the result of an
/// operator is rounded once to `type`. Products of Float32 are summed as dot_float32 does, all
/// others as dot_wide does: order and bits are the same on every host.
struct Arithmetic {
  ElementType type = ElementType::Float32;
  [[nodiscard]] float dot(std::span<const float> a, std::span<const float> b) const;
  [[nodiscard]] float rounded(float value) const {
    return type == ElementType::Float32 ? value : round_to(type, value);
  }
  void round(std::span<float> values) const;
  /// out[i] = sum over t of weights[t] * rows[t * stride + i], each element summed over t as dot()
  /// sums and rounded once: the transposed product of matrices kept by rows.
  void weighted_sum(std::span<const float> weights, std::span<const float> rows,
                    std::int64_t stride, std::span<float> out) const;
};

}  // namespace tandem::ops
