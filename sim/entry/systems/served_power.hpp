// Power and energy of runs as benchmarks read them.
#pragma once

#include <map>
#include <string>

#include "sim/describe/scenario.hpp"
#include "sim/entry/systems/served_case.hpp"
#include "sim/service/run_result.hpp"

namespace tandem::entry {

/// Joules and answers of a run so far, or of what one run has more than another.
struct MeteredRun {
  double seconds = 0;
  double output_tokens = 0;
  double chip_joules = 0;  ///< what the chips' own meters see
  double wall_joules = 0;  ///< with links and hosts
  double limit_watts = 0;  ///< of all chips of the run
};

[[nodiscard]] MeteredRun metered(const Scenario& scenario, const RunResult& result);

/// The part of `more` behind `less`: the same load with fewer requests. Its beginning and its end,
/// with fewer requests than fit, cancel.
[[nodiscard]] MeteredRun behind(const MeteredRun& more, const MeteredRun& less);

/// mean_power and power (W), mean_power_of_limit, wall_power (W of the whole server) and
/// energy_per_token (J per token of an answer); none without activity counts.
[[nodiscard]] std::map<std::string, double> power_figures(const MeteredRun& run,
                                                          const ServedCase& served);

}  // namespace tandem::entry
