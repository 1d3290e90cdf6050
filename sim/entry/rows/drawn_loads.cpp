#include "sim/entry/rows/drawn_loads.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>

#include "sim/core/random.hpp"

namespace tandem::entry {
namespace {

using Loads = std::vector<std::int64_t>;
constexpr int draws = 32;

std::size_t index(std::int64_t i) {
  return static_cast<std::size_t>(i);
}

/// Inverse of the distribution function of a density ~ x^-exponent on [low, high].
double power_law_sample(double uniform, double exponent, double low, double high) {
  const double power = 1 - exponent;
  if (power == 0) return low * std::pow(high / low, uniform);
  const double first = std::pow(low, power);
  return std::pow((std::pow(high, power) - first) * uniform + first, 1 / power);
}

/// Real loads of all experts, rounded; the sum may miss tokens * top_k by a few.
Loads rounded_loads(const RoutedLayer& layer, double exponent, RandomStream& random) {
  const auto choices = static_cast<double>(layer.tokens * layer.top_k);
  const bool many = layer.tokens * layer.top_k > layer.experts;
  const double low = many ? 1 : 0.01;
  const double high = many ? 0.8 * static_cast<double>(layer.tokens) : 2;
  std::vector<double> shares(index(layer.experts));
  for (double& share : shares) share = power_law_sample(random.uniform(), exponent, low, high);
  const double total = std::accumulate(shares.begin(), shares.end(), 0.0);
  Loads loads;
  for (const double share : shares) {
    loads.push_back(static_cast<std::int64_t>(std::nearbyint(share / total * choices)));
  }
  return loads;
}

/// Experts by falling load, equal ones in order of index.
std::vector<std::size_t> by_load(const Loads& loads) {
  std::vector<std::size_t> order(loads.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return loads[a] > loads[b]; });
  return order;
}

/// A token takes an expert once: what exceeds `tokens` fills the least loaded experts one after the
/// other.
void bound_loads(const RoutedLayer& layer, Loads& loads) {
  std::int64_t excess = 0;
  for (std::int64_t& load : loads) {
    excess += std::max<std::int64_t>(0, load - layer.tokens);
    load = std::min(load, layer.tokens);
  }
  const std::vector<std::size_t> order = by_load(loads);
  for (auto expert = order.rbegin(); expert != order.rend(); ++expert) {
    const std::int64_t taken = std::min(excess, layer.tokens - loads[*expert]);
    loads[*expert] += taken;
    excess -= taken;
  }
}

/// One row each for the least loaded experts, in turns, until none is missing; or one each taken
/// from them, and from the largest where they have none. Equal loads stand in order of index, so
/// that rows are added to neighbours: to few ranks.
void settle_sum(const RoutedLayer& layer, Loads& loads) {
  const std::vector<std::size_t> order = by_load(loads);
  const std::int64_t sum = std::accumulate(loads.begin(), loads.end(), std::int64_t{0});
  std::int64_t missing = layer.tokens * layer.top_k - sum;
  for (std::size_t i = 0; missing != 0; ++i) {
    std::int64_t& smallest = loads[order[order.size() - 1 - i % order.size()]];
    if (missing > 0) {
      if (smallest >= layer.tokens) continue;
      ++smallest;
      --missing;
    } else {
      --(smallest > 0 ? smallest : *std::max_element(loads.begin(), loads.end()));
      ++missing;
    }
  }
}

/// Exchanges the rank with the most rows (the first of equals) with rank 0.
void bring_busiest_first(const RoutedLayer& layer, Loads& loads) {
  const std::int64_t local = layer.experts / layer.ranks;
  std::int64_t busiest = 0;
  std::int64_t most = -1;
  for (std::int64_t rank = 0; rank < layer.ranks; ++rank) {
    const auto begin = loads.begin() + rank * local;
    const std::int64_t rows = std::accumulate(begin, begin + local, std::int64_t{0});
    if (rows <= most) continue;
    most = rows;
    busiest = rank;
  }
  if (busiest == 0) return;
  std::swap_ranges(loads.begin(), loads.begin() + local, loads.begin() + busiest * local);
}

}  // namespace

std::vector<std::int64_t> balanced_rows(const RoutedLayer& layer) {
  const std::int64_t stride = (layer.experts + layer.top_k - 1) / layer.top_k;
  const std::int64_t local = layer.experts / layer.ranks;
  Loads rows(index(local));
  for (std::int64_t token = 0; token < layer.tokens; ++token) {
    const std::int64_t first = layer.tokens >= stride ? token : token * stride / layer.tokens;
    for (std::int64_t i = 0; i < layer.top_k; ++i) {
      const std::int64_t expert = (first + i * stride) % layer.experts;
      if (expert < local) ++rows[index(expert)];
    }
  }
  return rows;
}

std::vector<std::int64_t> power_law_rows(const RoutedLayer& layer, double exponent) {
  const std::int64_t local = layer.experts / layer.ranks;
  RandomStream random(1, "drawn expert loads");
  Loads sums(index(local));
  for (int draw = 0; draw < draws; ++draw) {
    Loads loads = rounded_loads(layer, exponent, random);
    bound_loads(layer, loads);
    settle_sum(layer, loads);
    bring_busiest_first(layer, loads);
    loads.resize(index(local));
    std::sort(loads.begin(), loads.end(), std::greater<>());
    for (std::size_t e = 0; e < loads.size(); ++e) sums[e] += loads[e];
  }
  for (std::int64_t& sum : sums) sum = (sum + draws / 2) / draws;
  return sums;
}

}  // namespace tandem::entry
