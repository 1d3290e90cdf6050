// The highest load at which a system still meets its objectives.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "sim/core/statistics.hpp"
#include "sim/service/service.hpp"

namespace tandem {

/// One load that was tried.
struct LoadPoint {
  double load = 0;  ///< users (closed loop) or requests per second
  double output_tokens_per_s = 0;
  double output_tokens_per_s_per_chip = 0;  ///< of the chips placed
  double output_tokens_per_s_per_user = 0;  ///< 1000 / mean TPOT in ms
  Summary ttft_ms;
  /// Closed loop: p99 without the first request of each user, which come together.
  std::optional<double> ttft_p99_later_ms;
  Summary tpot_ms;
  double utilisation = 0;  ///< of the busiest station of the busiest pool
  bool saturated = false;  ///< the queue grew for as long as requests came (Backlog)
  bool meets_slo = false;
  [[nodiscard]] bool holds() const { return meets_slo && !saturated; }
};

struct CapacityOptions {
  bool curve = false;
  /// Share of the highest load that holds, within which the lowest that does not is looked for.
  double tolerance = 0.02;
  RunOptions run;
};

struct CapacityResult {
  /// Highest load tried that holds; 0 when not even the smallest does. The limit is between it and
  /// `next`.
  double load = 0;
  /// "users" or "requests/s"; of groups "groups of 8 answers", "groups of 3 agents", and of
  /// conversations "sessions", each also "/s".
  std::string load_unit;
  double tolerance = 0;
  /// What stops a higher load: "ttft_p99", "tpot_p99", both joined by " and ", "saturation",
  /// "memory slots", "max_sequences", or "nothing up to the highest load tried".
  std::string limit;
  std::string bottleneck;             ///< busiest pool and what bounds it: "decode: hbm"
  LoadPoint next;                     ///< the lowest load tried that fails; load 0 when none did
  RunResult run;                      ///< at `load` (at the smallest load when that is 0)
  std::vector<LoadPoint> curve;       ///< all loads tried, rising; none unless asked for
  std::vector<std::string> warnings;  ///< what the limit hangs on, and what to set instead
};

[[nodiscard]] LoadPoint load_point(const Scenario& scenario, const RunResult& result);

/// What the load of a scenario is counted in (CapacityResult::load_unit).
[[nodiscard]] std::string load_unit_of(const Traffic& traffic);

/// Doubles the load until it fails, then halves the gap until it is within the tolerance: latencies
/// are taken to rise with the load. Closed loop: whole users, at least three requests each, up to
/// twice the requests that fit. Arrivals by rate: from the scenario's own, halved while that fails;
/// all rates of a ramp scale alike. Where arrivals are drawn there are up to 16 times as many
/// requests: at least 200, and coming for long enough to see a queue grow (Backlog::is_long). Each
/// load is served with 10 audited passes. Deterministic.
[[nodiscard]] CapacityResult find_capacity(const Scenario& scenario, ServiceModel& model,
                                           const CapacityOptions& options);

}  // namespace tandem
