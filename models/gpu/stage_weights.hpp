// The weights of one stage as matrices in the shapes of its kernels.
#pragma once

#include <vector>

#include "sim/lower/batch.hpp"
#include "sim/lower/weights.hpp"

namespace tandem::gpu {

/// [rows, width] of floats, each rounded to the stage's weight type.
struct WeightMatrix {
  std::int64_t rows = 0;
  std::int64_t width = 0;
  std::vector<float> values;
  [[nodiscard]] std::span<const float> row(std::int64_t index) const {
    const auto size = static_cast<std::size_t>(width);
    return {values.data() + static_cast<std::size_t>(index) * size, size};
  }
};

struct StageLayer {
  WeightMatrix attention_norm, qkv, output, ffn_norm, gate_up, down;
};

struct StageWeights {
  WeightMatrix embedding;
  std::vector<StageLayer> layers;
  WeightMatrix final_norm;
  WeightMatrix head;  ///< rows [head_begin, head_end)
};

/// Cuts a stage out of a model. Throws ModelError when shapes do not match the stage's network.
[[nodiscard]] StageWeights cut_weights(const Stage& stage, const Weights& all);

}  // namespace tandem::gpu
