// Where bands end: at what the floors of the run's own passes allow.
#pragma once

#include <map>
#include <string>

#include "sim/account/bands.hpp"
#include "sim/account/run_figures.hpp"
#include "sim/account/service_errors.hpp"

namespace tandem {

/// Figures of the run with its passes at their floors, in the units of RunFigures: latencies by the
/// sums of their floors; rates, energy and money of a run as long as its busiest pool's floors.
/// What has no floor is absent.
[[nodiscard]] Figures figures_at_floors(const RunResult& result, const PassTimes& passes);

struct BandLimits {
  const Figures& base;
  const Figures& at_floors;
  /// Bands of the inputs' ranges alone, which move floors as well.
  const std::map<std::string, BandFactor>& inputs;
  /// Those of power and energy are errors of the figures themselves, at the floor too.
  const RunErrors& services;
};

/// No error of kernels or services makes a pass faster than its floor. What falls with faster
/// passes (times, energy, money per token, the share of the load that pays) ends below at its value
/// there, what rises (rates, power, revenue) above.
void stop_at_floors(const BandLimits& limits, std::map<std::string, BandFactor>& bands);

}  // namespace tandem
