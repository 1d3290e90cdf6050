#include "sim/numerics/ops/eviction.hpp"

#include <algorithm>
#include <cassert>
#include <cmath>

namespace tandem::ops {

std::vector<std::int64_t> kept_by_streaming(std::int64_t cached, std::int64_t sinks,
                                            std::int64_t tokens) {
  std::vector<std::int64_t> kept;
  for (std::int64_t i = 0; i < cached; ++i) {
    const bool is_sink = i < sinks;
    const bool is_recent = i >= cached - (tokens - sinks);
    if (cached <= tokens || is_sink || is_recent) kept.push_back(i);
  }
  return kept;
}

std::vector<std::int64_t> kept_by_heavy_hitters(std::span<const float> sums, std::int64_t recent,
                                                std::int64_t tokens) {
  const auto cached = static_cast<std::int64_t>(sums.size());
  const std::int64_t older = cached - recent;
  std::vector<std::int64_t> kept;
  for (std::int64_t i = 0; i < cached; ++i) {
    // Its rank among the older ones: how many of them go before it.
    std::int64_t before = 0;
    for (std::int64_t other = 0; other < older; ++other) {
      const float a = sums[static_cast<std::size_t>(other)];
      const float b = sums[static_cast<std::size_t>(i)];
      if (a > b || (a == b && other < i)) ++before;
    }
    if (cached <= tokens || i >= older || before < tokens - recent) kept.push_back(i);
  }
  return kept;
}

void add_attention(std::span<const float> scores, std::span<float> sums) {
  assert(scores.size() == sums.size());
  const float largest = *std::max_element(scores.begin(), scores.end());
  float total = 0;
  for (const float score : scores) total += std::exp(score - largest);
  for (std::size_t i = 0; i < scores.size(); ++i) sums[i] += std::exp(scores[i] - largest) / total;
}

}  // namespace tandem::ops
