// Summaries of samples, with fixed definitions so that every report means the same by "p99".
#pragma once

#include <span>
#include <vector>

namespace tandem {

/// Mean and percentiles of a sample. All zero for an empty one; `count` tells.
struct Summary {
  std::size_t count = 0;
  double mean = 0;
  double p50 = 0;
  double p90 = 0;
  double p95 = 0;
  double p99 = 0;
};

/// Percentile by linear interpolation between closest ranks (NumPy's default).
/// `sorted` must be ascending and not empty; `q` in [0, 1].
[[nodiscard]] double percentile(std::span<const double> sorted, double q);

[[nodiscard]] Summary summarise(std::vector<double> sample);

}  // namespace tandem
