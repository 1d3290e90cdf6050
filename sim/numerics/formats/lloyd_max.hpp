// Optimal scalar quantisers (Lloyd-Max) of known densities, computed and not tabulated.
#pragma once

#include <cstddef>
#include <vector>

namespace tandem::formats {

/// A scalar quantiser: `centroids` ascending, `edges` the midpoints between neighbours.
struct ScalarQuantiser {
  std::vector<double> centroids;
  std::vector<double> edges;
  double mse = 0.0;  ///< expected squared error under the density it was made for

  /// Index of the nearest centroid; on an edge the upper one, as vLLM's bucketize has it
  /// (vllm-project/vllm vllm/v1/attention/ops/triton_turboquant_store.py).
  [[nodiscard]] std::size_t nearest(double value) const;
};

/// Lloyd-Max quantiser of N(0, 1) with 2^bits levels, bits 0..5 (0: the mean alone). Fixed-point
/// iteration of Lloyd (IEEE Trans. Inf. Theory 1982) and Max (1960): edges are midpoints, centroids
/// the means between edges, (pdf(a) - pdf(b)) / (cdf(b) - cdf(a)); mse = 1 - sum p_i c_i^2.
/// Throws ModelError for other numbers of bits: the iteration slows down with each.
[[nodiscard]] ScalarQuantiser lloyd_max_gaussian(int bits);

/// Lloyd-Max quantiser with 2^bits levels of the angle of level >= 2 of PolarQuant: density
/// proportional to sin(2 t)^(2^(level - 1) - 1) on [0, pi / 2] (arXiv 2502.02617 section 3.2).
/// Integrals by Simpson's rule. Throws ModelError outside levels 2..8 and bits 0..5.
[[nodiscard]] ScalarQuantiser lloyd_max_polar_angle(int level, int bits);

}  // namespace tandem::formats
