// How many drafts of a round the large model accepts, where no numbers are computed.
#pragma once

#include <cstdint>
#include <vector>

#include "sim/core/random.hpp"
#include "sim/describe/scenario.hpp"

namespace tandem {

/// Probability that a draft at `position` (from 0) is accepted when all before it were. Of a tree,
/// that one of the drafts behind the accepted one is, each being right by itself with the
/// probability given: an upper bound, because a model's second choice is right less often.
[[nodiscard]] double acceptance_at(const Speculation& speculation, std::int64_t position);

/// Mean number of tokens that a round yields: 1 + a0 + a0 a1 + ..., one term per draft; with equal
/// probabilities (1 - a^(drafts + 1)) / (1 - a) (Leviathan, Kalman and Matias, arXiv 2211.17192).
[[nodiscard]] double expected_tokens(const Speculation& speculation);

/// The accepted drafts of a request's rounds, one after the other. Depends on the seed and the
/// request alone, so that placements and loads are compared on the same luck.
class AcceptanceStream {
 public:
  AcceptanceStream(const Speculation& speculation, std::uint64_t seed, std::int64_t request);
  /// Drafts accepted in the next round: 0 to `drafts`. Draws one number per draft.
  [[nodiscard]] std::int64_t next();

 private:
  const Speculation& speculation_;
  RandomStream random_;
};

}  // namespace tandem
