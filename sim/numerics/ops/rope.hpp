// Reference operator: rotary position embedding (Su et al., RoFormer, 2021) in both layouts, for a
// whole head or a part of it, with the frequency scalings in use.
#pragma once

#include <cstdint>
#include <span>
#include <variant>
#include <vector>

namespace tandem::ops {

/// Pairs rotated by RoPE: neighbours (2i, 2i+1) as in llama2.c, or halves (i, i + rotated / 2).
enum class RopeLayout : std::uint8_t { Interleaved, HalfSplit };

/// Llama 3.1: with wavelength w = 2 pi / f, w > original / low gives f / factor; w < original /
/// high keeps f; between, s = (original / w - low) / (high - low) and (1 - s) f / factor + s f.
/// Source: meta-llama/llama-models, llama3 model.py, apply_scaling().
struct Llama3Scaling {
  double factor = 1;
  double low_frequency_factor = 1;
  double high_frequency_factor = 1;
  std::int64_t original_context = 0;
  bool operator==(const Llama3Scaling&) const = default;
};

/// YaRN (Peng et al., arXiv 2309.00071): with corr(r) = d ln(original / (2 pi r)) / (2 ln theta),
/// low = corr(beta_fast) and high = corr(beta_slow), floored and raised to whole pairs where
/// `truncate`, ramp_i = clip((i - low) / (high - low), 0, 1): f / factor ramp + f (1 - ramp).
struct YarnScaling {
  double factor = 1;
  std::int64_t original_context = 0;
  double beta_fast = 32;
  double beta_slow = 1;
  bool truncate = true;
  /// Cosine and sine are multiplied by m(mscale) / m(mscale_all), m(s) = 0.1 s ln(factor) + 1 (1
  /// for a factor of at most 1). gpt-oss: 1 and 0. DeepSeek and Kimi: 1 and 1, which cancels, and
  /// the softmax scale is multiplied by m(mscale_all)^2 instead.
  double mscale = 1;
  double mscale_all = 0;
  bool operator==(const YarnScaling&) const = default;
};

/// Position interpolation: every frequency divided by `factor` (Gemma 3's global layers).
struct LinearScaling {
  double factor = 1;
  bool operator==(const LinearScaling&) const = default;
};

using RopeScaling = std::variant<std::monostate, Llama3Scaling, YarnScaling, LinearScaling>;

/// Which dimensions of a head rotate when not all do.
enum class PartialRotary : std::uint8_t {
  FirstDims,     ///< the first `rotated` ones, as a head of that width; the rest pass through
  Proportional,  ///< the first rotated / 2 pairs of the whole head; the other frequencies are 0
};

/// The rotation of one kind of layer.
struct Rope {
  double theta = 10000;
  std::int64_t rotated = 0;  ///< dimensions of a head that rotate; even
  RopeLayout layout = RopeLayout::HalfSplit;
  PartialRotary partial = PartialRotary::FirstDims;
  RopeScaling scaling;
  bool operator==(const Rope&) const = default;
};

/// Angle per position of each pair: f_i = theta^(-2 i / d) before scaling; d is `rotated`, or
/// head_dim where partial rotation is proportional, which also gives head_dim / 2 frequencies.
[[nodiscard]] std::vector<float> rope_frequencies(const Rope& rope, std::int64_t head_dim);

/// The pairs between which YaRN blends, after flooring, raising and keeping them within the head:
/// up to `low` frequencies are kept, from `high` on they are divided by the factor.
struct YarnRange {
  double low = 0;
  double high = 0;
};

/// The range of a rope with YaRN. Throws ModelError for any other and for proportional partial
/// rotation, with which no model combines it. Source: deepseek-ai/DeepSeek-V3@9b4e978
/// inference/model.py, find_correction_range(); openai/gpt-oss gpt_oss/torch/model.py for
/// `truncate` off.
[[nodiscard]] YarnRange yarn_range(const Rope& rope);

/// What cosine and sine are multiplied by: 1 without YaRN.
[[nodiscard]] double rope_magnitude(const Rope& rope);

/// What YaRN multiplies the softmax scale by in DeepSeek's models: m(mscale_all)^2, 1 without YaRN
/// or where mscale_all is 0. Source: deepseek-ai/DeepSeek-V3@9b4e978 inference/model.py, MLA.
[[nodiscard]] double yarn_softmax_factor(const Rope& rope);

/// Rotates every head of `heads` (consecutive runs of head_dim) in place by position * f_i:
/// (a, b) -> magnitude * (a cos - b sin, a sin + b cos). Dimensions past 2 * frequencies.size()
/// pass through. The angle is rounded to float as in llama2.c run.c forward().
void rotate_heads(std::span<float> heads, std::int64_t head_dim, std::span<const float> frequencies,
                  RopeLayout layout, double magnitude, std::int64_t position);

}  // namespace tandem::ops
