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

/// "TTFT 1000 ms, TPOT 25 ms", or "none".
[[nodiscard]] std::string slo_text(const Slo& slo);

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

/// What is left of a run where only requests within every objective count.
struct SloFigures {
  double attainment = 0;  ///< share of requests
  double goodput_requests_per_s = 0;
};

/// Factors on the latencies of every request.
struct LatencyFactors {
  double ttft = 1;
  double tpot = 1;
};

/// Of the window behind the warm-up, with every latency times its factor.
[[nodiscard]] SloFigures slo_figures_of(const Slo& slo, const RunResult& result,
                                        const LatencyFactors& factors = {});

/// Of the window behind the warm-up, where there is one (measured_window()); utilisation is of the
/// whole run.
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
  /// Over all passes, those of prompts included: what answers share of a pass makes them cheaper
  /// than one by itself.
  double output_tokens_per_pass = 0;
  std::optional<double> energy_j;
  std::optional<double> usd;
};

/// Of a run with groups.
[[nodiscard]] GroupSummary summarise_groups(const RunResult& result, const Accounting& accounting);

/// One model of a mix as figures. Costs are those of the time during which it had requests, as if
/// its chips were idle for free else; what has no price or energy, or no requests, is absent.
struct DeploymentSummary {
  double load = 0;      ///< requests that it computed over those of the run
  double occupied = 0;  ///< share of the run's time during which it had any
  Summary ttft_ms;      ///< from when a request came to it
  Summary tpot_ms;
  Summary e2e_ms;
  Accounting accounting;
  std::optional<double> energy_j;  ///< per request that it computed
  std::optional<double> usd;       ///< the same
};

[[nodiscard]] DeploymentSummary summarise_deployment(const Scenario& scenario,
                                                     const RunResult& result,
                                                     const DeploymentResult& deployment);

/// Cost of a request of a mix: of the deployments that computed it while they had requests, which
/// is the sum over them of load times usd; and with the time that their chips were idle.
struct RoutedCost {
  std::optional<double> usd;
  std::optional<double> usd_with_idle;
};
[[nodiscard]] RoutedCost routed_cost(const std::vector<DeploymentSummary>& deployments,
                                     const RunResult& result, const Accounting& accounting);

/// "llama-3.1-8b", or the names of a mix's models joined by " + ".
[[nodiscard]] std::string models_text(const Scenario& scenario);

/// The word of the file: "share", "threshold", "cascade".
[[nodiscard]] std::string name_of(RoutingPolicy policy);

/// What the passes of a pool spend their latency on (StepCost::parts), as shares of it, the largest
/// first. Empty where no pass was simulated.
[[nodiscard]] std::vector<std::pair<std::string, double>> time_shares_of(const PoolUse& pool);

}  // namespace tandem
