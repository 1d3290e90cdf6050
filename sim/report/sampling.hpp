// What a run of finite length does and does not say: intervals of its figures, and whether it had
// settled.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "sim/service/run_result.hpp"

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

/// Requests that had come and were not answered.
struct Backlog {
  std::int64_t at_half = 0;  ///< when half of them had come
  std::int64_t at_last = 0;  ///< when the last one came
  /// The queue grew for as long as there were arrivals: by more than a quarter and two standard
  /// deviations of a Poisson number. A queue that grows steadily doubles.
  [[nodiscard]] bool grows() const;
};

/// Of arrivals that wait for no answers; none for users that do.
[[nodiscard]] std::optional<Backlog> backlog_of(const RunResult& result);

}  // namespace tandem
