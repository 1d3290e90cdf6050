// Reference operator: seeded sampling, plain and with the usual filters.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "sim/core/random.hpp"

namespace tandem::ops {

/// Draws index i with probability softmax(logits / temperature)[i], by walking the cumulative sum
/// until it passes one uniform draw (llama2.c run.c sample_mult()). Temperature 0 is argmax and
/// draws nothing from the stream. Throws ModelError for empty logits or a temperature that is
/// negative or not finite.
[[nodiscard]] std::int32_t sample(std::span<const float> logits, double temperature,
                                  RandomStream& random);

/// How the next token is chosen. The defaults filter nothing.
struct Sampling {
  double temperature = 1;         ///< 0: the most probable token
  std::int64_t top_k = 0;         ///< only the k most probable; 0: all
  double top_p = 1;               ///< only the most probable that together reach p, at least one
  double min_p = 0;               ///< only those of at least min_p times the largest probability
  double repetition_penalty = 1;  ///< r: logits of tokens seen before are / r where > 0, else * r
  bool operator==(const Sampling&) const = default;
};

/// The distribution that sample() draws from, [logits]: repetition penalty (Keskar et al., CTRL,
/// arXiv 1909.05858), temperature, min_p (arXiv 2407.01082), top_k, then top_p (Holtzman et al.,
/// arXiv 1904.09751) of what top_k left, renormalised, in this order (vllm-project/vllm
/// vllm/v1/sample/sampler.py Sampler). A token stays under top_p when the more probable ones
/// together hold less than p. Of equal tokens the lower index is the more probable, so top_k keeps
/// exactly k (vLLM keeps all that equal the last). `history` holds the tokens of the prompt and the
/// output so far. Temperature 0 gives 1 to the argmax after the penalty. Throws ModelError for
/// empty logits, a setting out of its range or a token outside the vocabulary.
[[nodiscard]] std::vector<float> sampling_probabilities(std::span<const float> logits,
                                                        const Sampling& sampling,
                                                        std::span<const std::int32_t> history);

/// Draws from sampling_probabilities() as the plain sample() does: one uniform, none at temperature
/// 0. Without filters and penalty the tokens are those of the plain form.
[[nodiscard]] std::int32_t sample(std::span<const float> logits, const Sampling& sampling,
                                  std::span<const std::int32_t> history, RandomStream& random);

/// The first index at which the cumulative sum of `weights` passes `coin` in [0, 1); `otherwise`
/// where rounding leaves the whole sum at or under it.
[[nodiscard]] std::int32_t index_at(std::span<const float> weights, double coin,
                                    std::int32_t otherwise);

}  // namespace tandem::ops
