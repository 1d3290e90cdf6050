// Whether a run had settled, or its queue grew for as long as requests came.
#pragma once

#include <optional>

#include "sim/service/run_result.hpp"

namespace tandem {

/// Mean numbers of requests over the second and the last quarter of the time in which they came (of
/// conversations: in which these began).
struct Backlog {
  double waiting_before = 0;  ///< without their first token, second quarter
  double waiting_late = 0;    ///< last quarter
  double open_before = 0;     ///< not answered, second quarter
  double open_late = 0;       ///< last quarter, for as many arrivals as the second quarter had
  /// Requests came for at least four times as long as one of the first quarter took: what is open
  /// would have settled.
  bool is_long = false;
  /// More wait at the end, or, where the run is long and its rate does not rise, more are open, by
  /// half and two standard deviations of a Poisson number. A queue that grows steadily has 2.3
  /// times as many.
  [[nodiscard]] bool grows() const;
};

/// Of arrivals that wait for no answers; none for users that do.
[[nodiscard]] std::optional<Backlog> backlog_of(const RunResult& result);

}  // namespace tandem
