// What a run of finite length does and does not say: intervals of its figures.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace tandem {

/// Low and high end.
using Interval = std::array<double, 2>;

/// Intervals of the figures of a Summary.
struct SummaryIntervals {
  Interval mean{}, p50{}, p90{}, p95{}, p99{};
};

/// 95 % intervals by the moving-block bootstrap (Kuensch, Annals of Statistics 17:3, 1989): figures
/// of 200 samples put together from blocks of neighbours, as long as the square root of their
/// number, because requests that follow each other wait for the same. `values` in order of arrival;
/// none for fewer than 20. Draws from the stream `name` of `seed`.
[[nodiscard]] std::optional<SummaryIntervals> intervals_of(const std::vector<double>& values,
                                                           std::uint64_t seed,
                                                           std::string_view name);

}  // namespace tandem
