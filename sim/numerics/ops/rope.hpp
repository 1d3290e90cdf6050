// Reference operator: rotary position embedding (Su et al., RoFormer, 2021) in both layouts.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace tandem::ops {

/// Llama 3.1 frequency scaling.
struct FrequencyScaling {
  double factor = 1;
  double low_frequency_factor = 1;
  double high_frequency_factor = 1;
  std::int64_t original_context = 0;
};

/// Angle per position of each pair i: f_i = theta^(-2 i / head_dim), i < head_dim / 2.
/// With scaling, by wavelength w = 2 pi / f: w > original / low gives f / factor; w < original /
/// high keeps f; between, s = (original / w - low) / (high - low) and (1 - s) f / factor + s f.
/// Source: meta-llama/llama-models, llama3 model.py, apply_scaling().
[[nodiscard]] std::vector<float> rope_frequencies(std::int64_t head_dim, double theta,
                                                  const std::optional<FrequencyScaling>& scaling);

/// Rotates every head of `heads` (consecutive runs of 2 * frequencies.size()) in place by
/// position * f_i: (a, b) -> (a cos - b sin, a sin + b cos). Pairs are neighbours (2i, 2i + 1).
void rope_interleaved(std::span<float> heads, std::span<const float> frequencies,
                      std::int64_t position);
/// The same rotation of the pairs (i, i + head_dim / 2).
void rope_half_split(std::span<float> heads, std::span<const float> frequencies,
                     std::int64_t position);

}  // namespace tandem::ops
