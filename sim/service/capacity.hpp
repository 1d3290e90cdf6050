// The highest load at which a system still meets its objectives.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sim/core/statistics.hpp"
#include "sim/service/service.hpp"

namespace tandem {

/// One load that was tried.
struct LoadPoint {
  double load = 0;  ///< users (closed loop) or requests per second
  double output_tokens_per_s = 0;
  double output_tokens_per_s_per_user = 0;  ///< 1000 / mean TPOT in ms
  Summary ttft_ms;
  Summary tpot_ms;
  double utilisation = 0;  ///< of the busiest station of the busiest pool
  bool meets_slo = false;
};

struct CapacityOptions {
  bool curve = false;
  RunOptions run;
};

struct CapacityResult {
  /// Highest load that meets the SLO; 0 when not even the smallest does.
  double load = 0;
  std::string load_unit;  ///< "users" or "requests/s"
  /// What stops a higher load: "ttft_p99", "tpot_p99", both joined by " and ", "memory slots",
  /// "max_sequences", or "nothing up to the highest load tried".
  std::string limit;
  std::string bottleneck;  ///< busiest pool and what bounds it: "decode: hbm"
  LoadPoint next;          ///< the lowest load tried that fails; load 0 when none did
  RunResult run;           ///< at `load` (at the smallest load when that is 0)
  std::vector<LoadPoint> curve;
};

[[nodiscard]] LoadPoint load_point(const Scenario& scenario, const RunResult& result);

/// Doubles the load until the SLO breaks, then bisects. Closed loop: whole users, at least three
/// requests each. Poisson and constant arrivals: sixteenths of the scenario's rate.
/// Each load is served with 10 audited passes. Deterministic.
[[nodiscard]] CapacityResult find_capacity(const Scenario& scenario, ServiceModel& model,
                                           const CapacityOptions& options);

}  // namespace tandem
