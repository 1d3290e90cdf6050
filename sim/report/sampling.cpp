#include "sim/report/sampling.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "sim/core/random.hpp"
#include "sim/core/statistics.hpp"

namespace tandem {
namespace {

constexpr std::size_t least_values = 20;
constexpr std::size_t resamples = 200;

/// The middle 95 % of the resampled figures.
Interval middle(std::vector<double> figures) {
  std::sort(figures.begin(), figures.end());
  return {percentile(figures, 0.025), percentile(figures, 0.975)};
}

/// Draws samples out of values that are sorted once: a sample is how often each of them is in it.
class Resampler {
 public:
  Resampler(const std::vector<double>& values, std::uint64_t seed, std::string_view name)
      : stream_(seed, name), rank_(values.size()), counts_(values.size()) {
    const auto size = static_cast<double>(values.size());
    block_ = static_cast<std::int64_t>(std::ceil(std::sqrt(size)));
    std::vector<std::size_t> order(values.size());
    std::iota(order.begin(), order.end(), 0U);
    std::ranges::stable_sort(order, {}, [&](std::size_t i) { return values[i]; });
    for (std::size_t rank = 0; rank < order.size(); ++rank) {
      rank_[order[rank]] = rank;
      sorted_.push_back(values[order[rank]]);
    }
  }

  /// Mean, p50, p90, p95 and p99 of a new sample.
  std::array<double, 5> draw() {
    std::ranges::fill(counts_, 0);
    const std::size_t size = rank_.size();
    for (std::size_t drawn = 0; drawn < size;) {
      auto i =
          static_cast<std::size_t>(stream_.integer(0, static_cast<std::int64_t>(size) - block_));
      for (std::int64_t k = 0; k < block_ && drawn < size; ++k, ++drawn) ++counts_[rank_[i++]];
    }
    double sum = 0;
    std::vector<double> sample;
    sample.reserve(size);
    for (std::size_t rank = 0; rank < size; ++rank) {
      sum += counts_[rank] * sorted_[rank];
      sample.insert(sample.end(), static_cast<std::size_t>(counts_[rank]), sorted_[rank]);
    }
    return {sum / static_cast<double>(size), percentile(sample, 0.50), percentile(sample, 0.90),
            percentile(sample, 0.95), percentile(sample, 0.99)};
  }

 private:
  RandomStream stream_;
  std::int64_t block_ = 1;
  std::vector<double> sorted_;
  std::vector<std::size_t> rank_;  ///< of each value, in order of arrival
  std::vector<int> counts_;        ///< by rank
};

}  // namespace

std::optional<SummaryIntervals> intervals_of(const std::vector<double>& values, std::uint64_t seed,
                                             std::string_view name) {
  if (values.size() < least_values) return std::nullopt;
  Resampler resampler(values, seed, name);
  std::array<std::vector<double>, 5> figures;
  for (std::size_t i = 0; i < resamples; ++i) {
    const auto found = resampler.draw();
    for (std::size_t f = 0; f < figures.size(); ++f) figures[f].push_back(found[f]);
  }
  return SummaryIntervals{middle(figures[0]), middle(figures[1]), middle(figures[2]),
                          middle(figures[3]), middle(figures[4])};
}

}  // namespace tandem
