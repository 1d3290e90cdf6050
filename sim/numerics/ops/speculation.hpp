// Reference operator: which drafted tokens a verification keeps (Leviathan, Kalman and Matias,
// arXiv 2211.17192, algorithm 1; vllm-project/vllm vllm/v1/sample/rejection_sampler.py).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "sim/core/random.hpp"

namespace tandem::ops {

/// The tokens that one verification yields: the accepted drafts, then one token of the target.
struct SpeculationOutcome {
  std::vector<std::int32_t> tokens;
  std::int64_t accepted = 0;  ///< drafts among them; tokens.size() is one more
  bool operator==(const SpeculationOutcome&) const = default;
};

/// max(p - q, 0) normalised: what a rejected draft leaves to draw from. p itself where nothing is
/// left, which only rounding can bring about.
[[nodiscard]] std::vector<float> rest_of_target(std::span<const float> p, std::span<const float> q);

/// Draft x of position i is accepted with probability min(1, p_i(x) / q_i(x)): where u < p / q for
/// one uniform u of [0, 1). The first that is not ends the round with a token drawn from max(p_i -
/// q_i, 0) normalised; where all are, one more is drawn from p of the last position. The tokens are
/// then distributed as the target's own, whatever q is.
///
/// `draft` is q [drafts, vocabulary], each row the distribution its draft was drawn from; empty:
/// the drafts were not drawn (n-gram look-up), q is 1 at the draft. `target` is p [drafts + 1,
/// vocabulary]. Draws one uniform per draft looked at and one for the last token. Throws ModelError
/// for a draft outside the vocabulary.
[[nodiscard]] SpeculationOutcome accept_drafts(std::span<const std::int32_t> drafts,
                                               std::span<const float> draft,
                                               std::span<const float> target, RandomStream& random);

/// Greedy decoding: drafts are accepted while they are the argmax of the target's logits [drafts +
/// 1, vocabulary]; the last token is the argmax of the position after. Equal to decoding without
/// drafts. Throws ModelError for an empty vocabulary.
[[nodiscard]] SpeculationOutcome accept_drafts_greedy(std::span<const std::int32_t> drafts,
                                                      std::span<const float> target_logits);

}  // namespace tandem::ops
