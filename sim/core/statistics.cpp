#include "sim/core/statistics.hpp"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <numeric>

namespace tandem {

double percentile(std::span<const double> sorted, double q) {
  assert(!sorted.empty());
  const double rank = q * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(std::floor(rank));
  const std::size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (rank - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

Summary summarise(std::vector<double> sample) {
  Summary summary;
  summary.count = sample.size();
  if (sample.empty()) return summary;
  std::sort(sample.begin(), sample.end());
  summary.mean =
      std::accumulate(sample.begin(), sample.end(), 0.0) / static_cast<double>(sample.size());
  summary.p50 = percentile(sample, 0.50);
  summary.p90 = percentile(sample, 0.90);
  summary.p95 = percentile(sample, 0.95);
  summary.p99 = percentile(sample, 0.99);
  return summary;
}

}  // namespace tandem
