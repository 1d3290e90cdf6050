// Speculative decoding: who drafts, how much, and how often drafts are right.
#pragma once

#include <cstdint>
#include <vector>

#include "sim/core/diagnostics.hpp"

namespace tandem {

/// What makes drafts.
enum class DraftMethod : std::uint8_t {
  None,
  DraftModel,   ///< a smaller network
  Modules,      ///< the model's own modules of multi-token prediction
  PromptLookup  ///< no network: what followed the newest tokens where they stood before
};

/// Newest tokens that are looked up in the text before them.
struct PromptLookup {
  std::int64_t shortest = 1;
  std::int64_t longest = 1;
};

/// A round is some drafts, one verification of all of them by the large model, and the tokens that
/// come of it: the accepted drafts and one more.
struct Speculation {
  DraftMethod method = DraftMethod::None;
  std::int64_t drafts = 0;  ///< one behind the other: the depth of a tree
  /// Drafts that follow each draft, by depth from the newest token on; empty: one.
  std::vector<std::int64_t> tree;
  PromptLookup lookup;  ///< of method PromptLookup
  /// Drafts on a pool of their own: the requests of a verifying replica go through their rounds
  /// together; else every verification takes the drafts that are there.
  bool in_step = true;
  /// Probability that a draft is accepted when all before it in the round were, by position; the
  /// last one holds for all further positions. Empty: not given.
  std::vector<double> acceptance;
  SourcePlace place;  ///< where the user wrote it

  [[nodiscard]] bool is_on() const { return method != DraftMethod::None; }
  /// Drafts at a depth from 0.
  [[nodiscard]] std::int64_t drafts_at(std::int64_t depth) const;
  /// All drafts of a round, those of branches that cannot be right together included.
  [[nodiscard]] std::int64_t drafted() const;
};

/// Probabilities by position that give the measured lengths: `lengths` are mean tokens per round of
/// 1, 2, ... drafts, at least as many as `drafts`. Length L(k) is 1 + d_1 + ... + d_k, where d_i is
/// the probability that the first i drafts are accepted, and a_i = d_i / d_(i - 1). Measured d that
/// rise, or fall below 0, are averaged with their neighbours, which keeps L(drafts).
[[nodiscard]] std::vector<double> acceptance_of_lengths(const std::vector<double>& lengths,
                                                        std::int64_t drafts);

/// The one probability a with (1 - a^(drafts + 1)) / (1 - a) = length (Leviathan, Kalman and
/// Matias, arXiv 2211.17192, equation 1); length from 1 to drafts + 1.
[[nodiscard]] double acceptance_of_length(double length, std::int64_t drafts);

}  // namespace tandem
