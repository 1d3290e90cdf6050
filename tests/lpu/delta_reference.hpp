// One request's Gated DeltaNet in the order of the LPU, head by head in plain loops. Shares with
// the chip only element conversions, dot products and special functions.
#pragma once

#include <cstdint>
#include <vector>

#include "sim/numerics/ops/gated_delta.hpp"

namespace tandem::test {

/// Weights of a layer's recurrence in the natural order of heads.
struct DeltaWeights {
  std::vector<float> conv, a_log, dt_bias, norm;
};

/// Projections of one token in the natural order of heads.
struct DeltaInputs {
  std::vector<float> channels, a, b, z;
};

class DeltaReference {
 public:
  DeltaReference(const ops::GatedDeltaShape& shape, const DeltaWeights& weights, float epsilon,
                 int lanes);
  /// Normed and gated outputs [value_head][value_dim]; moves the state on.
  std::vector<float> step(const DeltaInputs& inputs);
  /// [value_head][key_dim][value_dim].
  [[nodiscard]] const std::vector<float>& state() const { return state_; }

 private:
  [[nodiscard]] float segment_sum(const std::vector<float>& values, std::size_t place,
                                  std::size_t lanes_in_use) const;
  [[nodiscard]] std::vector<float> convolve(const std::vector<float>& input);
  [[nodiscard]] std::vector<float> head_step(std::size_t head, const std::vector<float>& channels,
                                             float decay, float strength);

  ops::GatedDeltaShape shape_;
  DeltaWeights weights_;
  float epsilon_;
  std::size_t lanes_;
  std::vector<std::vector<float>> history_;  // inputs of the convolution, newest last
  std::vector<float> state_;
};

}  // namespace tandem::test
