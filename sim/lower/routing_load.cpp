#include "sim/lower/routing_load.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

#include "sim/core/diagnostics.hpp"
#include "sim/core/integers.hpp"

namespace tandem {
namespace {

/// x^n by squaring: the same bits on every host, which std::pow does not promise.
double power(double x, std::int64_t n) {
  double result = 1;
  for (; n > 0; n /= 2, x *= x) {
    if (n % 2 == 1) result *= x;
  }
  return result;
}

std::int64_t nearest(double x) {
  return static_cast<std::int64_t>(std::floor(x + 0.5));
}

void check_load(const ops::Router& router, const RoutingLoad& load) {
  if (router.experts < 1 || router.top_k < 1 || router.top_k > router.experts) {
    throw ModelError("routing: a token cannot take " + std::to_string(router.top_k) + " of " +
                     std::to_string(router.experts) + " experts");
  }
  if (load.shares.empty()) return;
  const bool valid = std::all_of(load.shares.begin(), load.shares.end(),
                                 [](double share) { return share >= 0 && std::isfinite(share); });
  const double total = std::accumulate(load.shares.begin(), load.shares.end(), 0.0);
  if (static_cast<std::int64_t>(load.shares.size()) != router.experts || !valid || !(total > 0)) {
    throw ModelError("routing: a load needs one share of at least 0 for each of " +
                     std::to_string(router.experts) + " experts, not all 0");
  }
}

/// Experts by falling share; equal shares in order of index.
std::vector<std::size_t> by_share(const std::vector<double>& shares) {
  std::vector<std::size_t> order(shares.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return shares[a] > shares[b]; });
  return order;
}

/// Experts that get rows: enough to hold all rows at `tokens` each, at most one per row.
std::int64_t touched_experts(double expected, std::int64_t tokens, const ops::Router& router) {
  return std::clamp(nearest(expected), router.top_k,
                    std::min(router.experts, tokens * router.top_k));
}

/// Rows in proportion to shares among the `touched` largest, one each at least; what rounding down
/// leaves goes one by one to the largest that still have room.
std::vector<std::int64_t> proportional_rows(std::int64_t tokens, const ops::Router& router,
                                            const std::vector<double>& shares) {
  const double total = std::accumulate(shares.begin(), shares.end(), 0.0);
  double expected = 0;
  for (const double share : shares) {
    const double chance = std::min(1.0, static_cast<double>(router.top_k) * share / total);
    expected += 1 - power(1 - chance, tokens);
  }
  std::vector<std::size_t> order = by_share(shares);
  order.resize(static_cast<std::size_t>(touched_experts(expected, tokens, router)));
  double kept = 0;
  for (const std::size_t expert : order) kept += shares[expert];
  std::vector<std::int64_t> rows(shares.size());
  std::int64_t left = tokens * router.top_k - static_cast<std::int64_t>(order.size());
  const auto spread = static_cast<double>(left);
  for (const std::size_t expert : order) {
    const double part = kept > 0 ? spread * shares[expert] / kept : 0;
    const std::int64_t extra =
        std::min({static_cast<std::int64_t>(std::floor(part)), left, tokens - 1});
    rows[expert] = 1 + extra;
    left -= extra;
  }
  for (std::size_t i = 0; left > 0; i = (i + 1) % order.size()) {
    if (rows[order[i]] < tokens) {
      ++rows[order[i]];
      --left;
    }
  }
  return rows;
}

}  // namespace

std::int64_t expected_experts(std::int64_t tokens, std::int64_t top_k, std::int64_t experts) {
  const double missed = 1 - static_cast<double>(top_k) / static_cast<double>(experts);
  return nearest(static_cast<double>(experts) * (1 - power(missed, tokens)));
}

std::vector<std::int64_t> expert_rows(std::int64_t tokens, const ops::Router& router,
                                      const RoutingLoad& load) {
  check_load(router, load);
  std::vector<std::int64_t> rows(static_cast<std::size_t>(router.experts));
  if (tokens < 1) return rows;
  if (!load.shares.empty()) return proportional_rows(tokens, router, load.shares);
  const auto expected = static_cast<double>(expected_experts(tokens, router.top_k, router.experts));
  const std::int64_t touched = touched_experts(expected, tokens, router);
  const std::int64_t total = tokens * router.top_k;
  for (std::int64_t e = 0; e < touched; ++e) {
    rows[static_cast<std::size_t>(e)] = total / touched + (e < total % touched ? 1 : 0);
  }
  return rows;
}

namespace {

/// Rows per copy: every expert once, then the copies; experts with the most rows have two.
std::vector<std::int64_t> rows_of_copies(std::vector<std::int64_t> rows, std::int64_t copies) {
  std::vector<std::size_t> order(rows.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return rows[a] > rows[b]; });
  for (std::int64_t i = 0; i < copies; ++i) {
    std::int64_t& first = rows[order[index_of(i)]];
    const std::int64_t second = first / 2;
    first -= second;
    rows.push_back(second);
  }
  return rows;
}

}  // namespace

std::vector<std::int64_t> copied_expert_rows(std::int64_t tokens, const Experts& experts,
                                             const Sharding& sharding, const RoutingLoad& load) {
  return rows_of_copies(expert_rows(tokens, experts.router, load), sharding.redundant_experts);
}

std::vector<std::int64_t> held_expert_rows(std::int64_t tokens, const Experts& experts,
                                           const Shard& shard, const RoutingLoad& load) {
  return held_expert_rows(copied_expert_rows(tokens, experts, shard.of, load), shard, load);
}

std::vector<std::int64_t> held_expert_rows(const std::vector<std::int64_t>& all, const Shard& shard,
                                           const RoutingLoad& load) {
  const auto count = static_cast<std::int64_t>(all.size());
  std::vector<std::int64_t> rows;
  if (!load.shares.empty()) {
    const ShareRange held = share_of(count, shard.of.expert, shard.expert_rank());
    return {all.begin() + held.begin, all.begin() + held.end};
  }
  for (std::int64_t e = shard.expert_rank(); e < count; e += shard.of.expert) {
    rows.push_back(all[index_of(e)]);
  }
  return rows;
}

}  // namespace tandem
