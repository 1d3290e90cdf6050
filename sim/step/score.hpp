// How well a placement predicts given text: a real model computes every token of it on the
// simulated chips, and what it thought of each next token is kept.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "sim/describe/scenario.hpp"
#include "sim/lower/chip_model.hpp"
#include "sim/lower/network_model.hpp"
#include "sim/lower/weights.hpp"

namespace tandem {

using Document = std::vector<std::int32_t>;

struct ScoreOptions {
  /// Tokens of a document that one pass computes; 0: all of them. 1: as tokens are decoded.
  std::int64_t tokens_per_pass = 0;
};

/// Of one document: per token after the first, -ln of the probability that it was given.
using DocumentScore = std::vector<double>;

struct ScoreResult {
  std::vector<DocumentScore> documents;
  Picoseconds simulated{0};  ///< time of all passes
  [[nodiscard]] std::int64_t tokens() const;
  /// Sum over all tokens.
  [[nodiscard]] double nats() const;
  /// exp(nats per token).
  [[nodiscard]] double perplexity() const;
};

/// Scores documents one after the other on the pool that makes tokens. Throws ConfigError for
/// documents of less than two tokens or longer than the context, for placements whose tokens need
/// several pools, and for eviction where every document is one pass, which would evict nothing that
/// is read again.
[[nodiscard]] ScoreResult score(const Scenario& scenario, const Catalogue& catalogue,
                                const NetworkFactory& make_network, const Weights& weights,
                                std::span<const Document> documents, const ScoreOptions& options);

}  // namespace tandem
