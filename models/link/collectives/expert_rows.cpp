// How many rows an expert exchange moves, from its routing's expectation.
#include <fmt/format.h>

#include <cmath>

#include "models/link/collectives/candidates.hpp"
#include "sim/core/integers.hpp"

namespace tandem::link {
namespace {

void require_expert_shape(const Collective& collective, std::int64_t ranks) {
  if (collective.tokens < 1 || collective.hidden < 1 || collective.top_k < 1 ||
      collective.top_k > collective.experts) {
    throw ModelError(
        fmt::format("collective: {} tokens of {} elements to {} of {} experts cannot be dispatched",
                    collective.tokens, collective.hidden, collective.top_k, collective.experts));
  }
  if (collective.experts % ranks == 0) return;
  throw ModelError(
      fmt::format("collective: {} experts do not lie evenly on {} ranks; write a "
                  "multiple of {} (with redundant experts)",
                  collective.experts, ranks, ranks));
}

/// Chance that a token has at least one of its top_k distinct experts on a given rank:
/// 1 - C(E - E/n, k) / C(E, k), hypergeometric.
double chance_of_rank(const Collective& collective, std::int64_t ranks) {
  const std::int64_t elsewhere = collective.experts - collective.experts / ranks;
  double none = 1;
  for (std::int64_t i = 0; i < collective.top_k; ++i) {
    none *= static_cast<double>(std::max<std::int64_t>(0, elsewhere - i)) /
            static_cast<double>(collective.experts - i);
  }
  return 1 - none;
}

}  // namespace

std::int64_t rows_per_peer(const Collective& collective, std::int64_t ranks) {
  require_expert_shape(collective, ranks);
  if (collective.transport == MoeTransport::LowLatency) {
    return ceil_div(collective.tokens * collective.top_k, ranks);
  }
  const double rows = static_cast<double>(collective.tokens) * chance_of_rank(collective, ranks);
  return std::llround(std::ceil(rows));
}

Bytes bytes_per_row(const Collective& collective) {
  return Bytes(collective.hidden * bytes_of(collective.type)) + collective.row_extra;
}

}  // namespace tandem::link
