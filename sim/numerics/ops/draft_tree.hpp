// Reference operator: which drafts of a tree a verification keeps, where several candidates stand
// in the same place of the text.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "sim/core/random.hpp"

namespace tandem::ops {

/// What one verification of a tree yields: the accepted drafts, by index from the first on, and the
/// tokens: these drafts', then one of the target.
struct TreeOutcome {
  std::vector<std::int32_t> tokens;
  std::vector<std::int64_t> accepted;
  bool operator==(const TreeOutcome&) const = default;
};

/// `q` without `token`, renormalised: what the next candidate of the same place is drawn from.
/// Empty where nothing is left.
[[nodiscard]] std::vector<float> without(std::span<const float> q, std::int32_t token);

/// Up to `count` different tokens, each drawn from q without those before it: one uniform each.
/// Fewer where q has fewer.
[[nodiscard]] std::vector<std::int32_t> draw_candidates(std::span<const float> q,
                                                        std::int64_t count, RandomStream& random);

/// The `count` tokens with the largest logits, the largest first; of equals the lower index.
[[nodiscard]] std::vector<std::int32_t> best_candidates(std::span<const float> logits,
                                                        std::int64_t count);

/// Recursive rejection sampling (Jeon et al., arXiv 2402.14160, algorithm 1; with candidates drawn
/// independently it is the multi-step speculative sampling of SpecInfer, arXiv 2305.09781,
/// algorithm 2). From the newest token on, the candidates that follow it are tried in their order:
/// x is accepted with probability min(1, p(x) / q(x)), and tried from there on; where it is not, p
/// becomes max(p - q, 0) normalised and q becomes q without x. Where none is accepted one token is
/// drawn from what is left of p, which ends the round. The tokens are distributed as the target's
/// own, whatever q is: each step is the rule of one candidate (arXiv 2211.17192) for the p that the
/// steps before it left.
///
/// `parents` gives the draft that each follows, an earlier one, or -1 for the newest token; drafts
/// of one parent were drawn by draw_candidates(). `draft` is q [drafts, vocabulary], the
/// distribution behind each draft's parent; `target` is p [1 + drafts, vocabulary], behind the
/// newest token and behind each draft. Draws one uniform per candidate tried and one for the last
/// token. With one candidate per place the tokens are those of accept_drafts(). Throws ModelError
/// for a draft outside the vocabulary.
[[nodiscard]] TreeOutcome accept_tree(std::span<const std::int32_t> drafts,
                                      std::span<const std::int64_t> parents,
                                      std::span<const float> draft, std::span<const float> target,
                                      RandomStream& random);

/// Greedy decoding: the way through the tree that the argmax of the target's logits [1 + drafts,
/// vocabulary] takes. Equal to decoding without drafts.
[[nodiscard]] TreeOutcome accept_tree_greedy(std::span<const std::int32_t> drafts,
                                             std::span<const std::int64_t> parents,
                                             std::span<const float> target_logits);

}  // namespace tandem::ops
