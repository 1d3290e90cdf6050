// Whether a run had settled, or its queue grew for as long as requests came.
#pragma once

#include <cstdint>
#include <optional>

#include "sim/service/run_result.hpp"

namespace tandem {

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
