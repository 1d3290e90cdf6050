// Rows per expert in measurements of mixtures of experts. The public collector (aiconfigurator,
// collector/helper.py) routes tokens evenly or draws loads from a power law and
// measures the rank with the most rows; these are its rules.
#pragma once

#include <cstdint>
#include <vector>

namespace tandem::entry {

/// A rank's share of an expert-parallel layer.
struct RoutedLayer {
  std::int64_t tokens = 0, experts = 0, top_k = 0;
  std::int64_t ranks = 1;  ///< each holds experts / ranks neighbours
};

/// Rows of each expert of rank 0 when token t takes experts t, t + s, t + 2 s, ... with
/// s = ceil(experts / top_k); fewer tokens than s are spread over its range.
[[nodiscard]] std::vector<std::int64_t> balanced_rows(const RoutedLayer& layer);

/// Expected rows of each expert of the most loaded rank, most loaded expert first, when experts'
/// loads are drawn from a density ~ x^-exponent between 1 and 0.8 tokens (0.01 and 2 where there
/// are no more choices than experts), scaled to all choices and rounded. The mean of 32 draws by a
/// named stream: measurements are means of few draws, and the expectation is nearest to them on
/// average.
[[nodiscard]] std::vector<std::int64_t> power_law_rows(const RoutedLayer& layer, double exponent);

}  // namespace tandem::entry
