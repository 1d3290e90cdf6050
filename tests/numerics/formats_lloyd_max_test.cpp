// Are the computed scalar quantisers the optimal ones, as published and by independent integration?
#include <gtest/gtest.h>

#include <cmath>
#include <numbers>
#include <vector>

#include "sim/core/diagnostics.hpp"
#include "sim/numerics/formats/lloyd_max.hpp"

namespace tandem::formats {
namespace {

/// What a quantiser does under a density, by summing over small steps (midpoint rule).
struct Measured {
  double mse = 0;
  std::vector<double> cell_means;
};

template <class Density>
Measured measure(const ScalarQuantiser& q, double low, double high, const Density& density) {
  constexpr int steps = 60000;
  const double h = (high - low) / steps;
  std::vector<double> mass(q.centroids.size());
  std::vector<double> first(q.centroids.size());
  double total = 0;
  Measured measured;
  for (int i = 0; i < steps; ++i) {
    const double x = low + (i + 0.5) * h;
    const double p = density(x);
    std::size_t best = 0;
    for (std::size_t c = 1; c < q.centroids.size(); ++c) {
      best = std::abs(q.centroids[c] - x) < std::abs(q.centroids[best] - x) ? c : best;
    }
    mass[best] += p;
    first[best] += p * x;
    total += p;
    measured.mse += p * (x - q.centroids[best]) * (x - q.centroids[best]);
  }
  measured.mse /= total;
  for (std::size_t c = 0; c < mass.size(); ++c) {
    measured.cell_means.push_back(first[c] / mass[c]);
  }
  return measured;
}

double normal_density(double x) {
  return std::exp(-x * x / 2);
}

TEST(LloydMaxGaussian, centroids_as_published) {
  // Positive halves; J. Max, "Quantizing for Minimum Distortion", IRE Trans. Inf. Theory 1960,
  // Table I; the first four also TurboQuant, arXiv 2504.19874 (1 and 2 bits: .7979; .453, 1.51).
  const std::vector<std::vector<double>> published{
      {0.0},
      {0.7979},
      {0.4528, 1.5104},
      {0.2451, 0.7560, 1.3439, 2.1519},
      {0.1284, 0.3880, 0.6568, 0.9423, 1.2562, 1.6180, 2.0690, 2.7326},
      {0.0659, 0.1981, 0.3314, 0.4667, 0.6049, 0.7471, 0.8946, 1.0488, 1.2118, 1.3863, 1.5762,
       1.7872, 2.0287, 2.3177, 2.6911, 3.2607}};
  for (int bits = 0; bits <= 5; ++bits) {
    const ScalarQuantiser q = lloyd_max_gaussian(bits);
    const std::vector<double>& half = published[static_cast<std::size_t>(bits)];
    ASSERT_EQ(q.centroids.size(), std::size_t{1} << bits);
    for (std::size_t i = 0; i < half.size(); ++i) {
      EXPECT_NEAR(q.centroids[q.centroids.size() / 2 + i], half[i], 6e-5) << bits;
      EXPECT_NEAR(q.centroids[i] + q.centroids[q.centroids.size() - 1 - i], 0.0, 1e-10) << bits;
    }
  }
  EXPECT_NEAR(lloyd_max_gaussian(1).centroids[1], std::sqrt(2 / std::numbers::pi), 1e-14);
}

TEST(LloydMaxGaussian, distortion_as_published_and_by_integration) {
  // Max 1960 Table I: .3634, .1175, .03454, .009497, .002499; arXiv 2504.19874 prints .36, .117,
  // .03, .009. Bounds of the same paper: 4^-b below, sqrt(3) pi / 2 * 4^-b above.
  const std::vector<double> published{1.0, 0.3634, 0.1175, 0.03454, 0.009497, 0.002499};
  for (int bits = 1; bits <= 5; ++bits) {
    const ScalarQuantiser q = lloyd_max_gaussian(bits);
    const double d = published[static_cast<std::size_t>(bits)];
    EXPECT_NEAR(q.mse, d, 0.005 * d) << bits;
    const Measured measured = measure(q, -10, 10, normal_density);
    EXPECT_NEAR(q.mse, measured.mse, 1e-4 * d) << bits;
    const double lowest = std::pow(4.0, -bits);
    EXPECT_GT(q.mse, lowest);
    EXPECT_LT(q.mse, std::sqrt(3.0) * std::numbers::pi / 2 * lowest);
    for (std::size_t i = 0; i < q.centroids.size(); ++i) {  // stationary: means of their cells
      EXPECT_NEAR(q.centroids[i], measured.cell_means[i], 2e-3) << bits;
    }
  }
}

TEST(LloydMaxGaussian, nearest_takes_the_upper_centroid_on_an_edge) {
  const ScalarQuantiser q = lloyd_max_gaussian(2);
  EXPECT_EQ(q.nearest(-100), 0U);
  EXPECT_EQ(q.nearest(100), 3U);
  EXPECT_EQ(q.nearest(q.edges[0]), 1U);
  EXPECT_EQ(q.nearest(std::nextafter(q.edges[0], -1e9)), 0U);
}

TEST(LloydMaxPolarAngle, is_optimal_for_the_angle_between_two_gaussian_radii) {
  // At level l both radii are norms of m = 2^(l-1) normals, so sin^2 of the angle is
  // Beta(m/2, m/2) and the angle has density (sin t cos t)^(m-1).
  for (int level = 2; level <= 4; ++level) {
    const int m = 1 << (level - 1);
    const auto density = [m](double t) { return std::pow(std::sin(t) * std::cos(t), m - 1); };
    const ScalarQuantiser q = lloyd_max_polar_angle(level, 2);
    const Measured measured = measure(q, 0, std::numbers::pi / 2, density);
    EXPECT_NEAR(q.mse, measured.mse, 1e-4 * q.mse) << level;
    for (std::size_t i = 0; i < 4; ++i) {
      EXPECT_NEAR(q.centroids[i], measured.cell_means[i], 1e-4) << level;
      EXPECT_NEAR(q.centroids[i] + q.centroids[3 - i], std::numbers::pi / 2, 1e-9) << level;
    }
  }
}

TEST(LloydMax, refuses_what_is_not_defined) {
  EXPECT_THROW((void)lloyd_max_gaussian(-1), ModelError);
  EXPECT_THROW((void)lloyd_max_gaussian(6), ModelError);
  EXPECT_THROW((void)lloyd_max_polar_angle(1, 2), ModelError);
}

}  // namespace
}  // namespace tandem::formats
