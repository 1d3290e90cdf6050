// The headline figures of a run, as numbers, for JSON and for pages.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "sim/account/accounting.hpp"
#include "sim/core/statistics.hpp"
#include "sim/describe/scenario.hpp"
#include "sim/service/service.hpp"

namespace tandem {

struct RunSummary {
  double output_tokens_per_s = 0;
  double total_tokens_per_s = 0;
  double requests_per_s = 0;
  std::optional<double> offered_requests_per_s;  ///< none in closed loop
  double utilisation = 0;  ///< busiest station of the busiest pool over the run
  std::optional<double> output_tokens_per_s_per_user;  ///< 1000 / mean TPOT in ms
  Summary ttft_ms;
  Summary tpot_ms;  ///< of requests with more than one token
  Summary itl_ms;
  Summary e2e_ms;
  std::optional<double> slo_attainment;  ///< share of requests within every objective
  std::optional<double> goodput_requests_per_s;
};

[[nodiscard]] RunSummary summarise_run(const Scenario& scenario, const RunResult& result);

/// Floors of the very passes that the run executed: means of TTFT and TPOT without any waiting, and
/// the rate if the busiest replica ran its passes back to back at their floors.
struct RunBounds {
  double ttft_ms = 0;
  std::optional<double> tpot_ms;
  double output_tokens_per_s = 0;
};

[[nodiscard]] RunBounds bounds_of(const RunResult& result);

/// Groups of requests as figures; what has no price or energy is absent.
struct GroupSummary {
  double groups_per_s = 0;
  Summary e2e_ms;            ///< arrival of a group to its last token
  double output_tokens = 0;  ///< of a group, mean
  std::optional<double> energy_j;
  std::optional<double> usd;
  /// Cost of a group over that of its first request alone, at the run's prices per token: as
  /// measured, and (P + n O r) / (P + O r) where every shared token is computed once. r: price of
  /// an output token over that of a prompt token.
  std::optional<double> cost_ratio;
  std::optional<double> cost_ratio_alone;
};

/// Of a run with groups.
[[nodiscard]] GroupSummary summarise_groups(const RunResult& result, const Accounting& accounting);

/// What the passes of a pool spend their latency on (StepCost::parts), as shares of it, the largest
/// first. Empty where no pass was simulated.
[[nodiscard]] std::vector<std::pair<std::string, double>> time_shares_of(const PoolUse& pool);

}  // namespace tandem
