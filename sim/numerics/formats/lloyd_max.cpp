#include "sim/numerics/formats/lloyd_max.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>

#include "sim/core/diagnostics.hpp"

namespace tandem::formats {
namespace {

constexpr int most_bits = 5;
constexpr int most_iterations = 20000;
constexpr double converged = 1e-13;

/// Probability and first moment of a density between two points.
struct Moments {
  double probability;
  double first;
};

std::vector<double> midpoints(const std::vector<double>& centroids) {
  std::vector<double> edges;
  for (std::size_t i = 0; i + 1 < centroids.size(); ++i) {
    edges.push_back((centroids[i] + centroids[i + 1]) / 2);
  }
  return edges;
}

/// Lloyd's iteration from evenly spread centroids; `between(a, b)` gives the density's moments.
template <class Between>
ScalarQuantiser iterate(int bits, double low, double high, double spread_low, double spread_high,
                        double second_moment, const Between& between) {
  if (bits < 0 || bits > most_bits) {
    throw ModelError("Lloyd-Max quantiser of " + std::to_string(bits) +
                     " bits: 0 to 5 are defined");
  }
  const std::size_t levels = std::size_t{1} << bits;
  const auto cell = [&](const std::vector<double>& edges, std::size_t i) {
    return between(i == 0 ? low : edges[i - 1], i + 1 == levels ? high : edges[i]);
  };
  ScalarQuantiser q;
  for (std::size_t i = 0; i < levels; ++i) {
    q.centroids.push_back(spread_low + (spread_high - spread_low) * (static_cast<double>(i) + 0.5) /
                                           static_cast<double>(levels));
  }
  double change = 1.0;
  for (int round = 0; round < most_iterations && change >= converged; ++round) {
    q.edges = midpoints(q.centroids);
    change = 0.0;
    for (std::size_t i = 0; i < levels; ++i) {
      const Moments m = cell(q.edges, i);
      const double mean = m.first / m.probability;
      change = std::max(change, std::abs(mean - q.centroids[i]));
      q.centroids[i] = mean;
    }
  }
  q.edges = midpoints(q.centroids);
  q.mse = second_moment;
  for (std::size_t i = 0; i < levels; ++i) {
    const Moments m = cell(q.edges, i);
    q.mse -= q.centroids[i] * (2 * m.first - q.centroids[i] * m.probability);
  }
  return q;
}

double gaussian_density(double x) {
  return std::exp(-x * x / 2) / std::sqrt(2 * std::numbers::pi);
}

double gaussian_below(double x) {
  return 0.5 * (1 + std::erf(x / std::numbers::sqrt2));
}

/// Integral of f from a to b, Simpson's rule on `panels` pairs of steps.
template <class F>
double simpson(double a, double b, int panels, const F& f) {
  const double h = (b - a) / (2 * panels);
  double sum = f(a) + f(b);
  for (int i = 1; i < 2 * panels; ++i) {
    sum += (i % 2 == 0 ? 2 : 4) * f(a + i * h);
  }
  return sum * h / 3;
}

}  // namespace

std::size_t ScalarQuantiser::nearest(double value) const {
  return static_cast<std::size_t>(std::upper_bound(edges.begin(), edges.end(), value) -
                                  edges.begin());
}

ScalarQuantiser lloyd_max_gaussian(int bits) {
  const auto between = [](double a, double b) {
    return Moments{gaussian_below(b) - gaussian_below(a),
                   gaussian_density(a) - gaussian_density(b)};
  };
  return iterate(bits, -40, 40, -3, 3, 1.0, between);
}

ScalarQuantiser lloyd_max_polar_angle(int level, int bits) {
  if (level < 2 || level > 8) {
    throw ModelError("polar angle of level " + std::to_string(level) + ": 2 to 8 are defined");
  }
  const int power = (1 << (level - 1)) - 1;
  const double half_pi = std::numbers::pi / 2;
  const auto density = [power](double t) { return std::pow(std::sin(2 * t), power); };
  constexpr int panels = 32;
  const double total = simpson(0, half_pi, 16 * panels, density);
  const auto square = [&](double t) { return t * t * density(t) / total; };
  const auto between = [&](double a, double b) {
    return Moments{simpson(a, b, panels, density) / total,
                   simpson(a, b, panels, [&](double t) { return t * density(t); }) / total};
  };
  return iterate(bits, 0, half_pi, 0, half_pi, simpson(0, half_pi, 16 * panels, square), between);
}

}  // namespace tandem::formats
