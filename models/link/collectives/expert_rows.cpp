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

/// Chance that `draws` distinct ones of `all` are among the `elsewhere`: C(elsewhere, draws) /
/// C(all, draws).
double chance_of_none(std::int64_t all, std::int64_t elsewhere, std::int64_t draws) {
  double none = 1;
  for (std::int64_t i = 0; i < draws; ++i) {
    none *= static_cast<double>(std::max<std::int64_t>(0, elsewhere - i)) /
            static_cast<double>(all - i);
  }
  return none;
}

/// Chance that exactly `hits` of `draws` distinct ones of `all` are among `marked`.
double chance_of_hits(std::int64_t all, std::int64_t marked, std::int64_t draws,
                      std::int64_t hits) {
  const auto choices = [](std::int64_t n, std::int64_t k) {
    double count = k < 0 || k > n ? 0 : 1;
    for (std::int64_t i = 0; i < k; ++i) {
      count *= static_cast<double>(n - i) / static_cast<double>(i + 1);
    }
    return count;
  };
  return choices(marked, hits) * choices(all - marked, draws - hits) / choices(all, draws);
}

/// Chance that a token has at least one of its top_k distinct experts among `held` neighbouring
/// ones; with groups they lie within one, or are whole ones.
double chance_of_any(const Collective& c, std::int64_t held) {
  if (c.top_groups >= c.groups || c.experts % c.groups != 0) {
    return 1 - chance_of_none(c.experts, c.experts - held, c.top_k);
  }
  const std::int64_t per_group = c.experts / c.groups;
  const std::int64_t touched = ceil_div(held, per_group);
  const std::int64_t inside = held / touched;
  double none = 0;
  for (std::int64_t chosen = 0; chosen <= std::min(touched, c.top_groups); ++chosen) {
    const std::int64_t open = c.top_groups * per_group;
    none += chance_of_hits(c.groups, touched, c.top_groups, chosen) *
            chance_of_none(open, open - chosen * inside, c.top_k);
  }
  return 1 - none;
}

double expected_rows(const Collective& collective, std::int64_t held) {
  return static_cast<double>(collective.tokens) * chance_of_any(collective, held);
}

}  // namespace

double rows_per_peer(const Collective& collective, std::int64_t ranks) {
  require_expert_shape(collective, ranks);
  if (collective.transport == MoeTransport::LowLatency) {
    return static_cast<double>(collective.tokens * collective.top_k) / static_cast<double>(ranks);
  }
  return expected_rows(collective, collective.experts / ranks);
}

double rows_per_node(const Collective& collective, std::int64_t ranks, std::int64_t nodes) {
  require_expert_shape(collective, ranks);
  return expected_rows(collective, ceil_div(collective.experts, nodes));
}

Bytes bytes_of_rows(const Collective& collective, double rows) {
  return Bytes(std::llround(rows * static_cast<double>(bytes_per_row(collective).count())));
}

Bytes bytes_per_row(const Collective& collective) {
  return Bytes(collective.hidden * bytes_of(collective.type)) + collective.row_extra;
}

}  // namespace tandem::link
