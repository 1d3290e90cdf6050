// Where bands of power end: at what the limits of chips and of their system allow.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "sim/account/bands.hpp"
#include "sim/account/run_figures.hpp"

namespace tandem {

/// Mean power in W of a pool's chip while it computes, its power at rest included; nothing where no
/// activity was counted.
[[nodiscard]] std::optional<double> watts_at_work(const PoolUse& pool, double seconds);

/// Rates, energy and money of a run that takes `duration` times as long with all of its chips at
/// their power limits (`tdp`) all the time and hosts and links at the top of their ranges, together
/// at no more than the placed chips' share of the system's `power_cap`; without a duration only
/// what is per hour. Nothing where any chip of the run has no limit, or draws more than it at work
/// (its lowest clock does not keep it).
[[nodiscard]] std::optional<Figures> figures_at_power_limits(const Scenario& scenario,
                                                             const RunFigures& run,
                                                             std::optional<double> duration);

/// What rises with power (power, energy and carbon, electricity in costs) is by power no further
/// above than its value `at_limits`; ranges (`swings`) of what does not move power (prices, the
/// grid's carbon) add to that as independent ones. No band ends below the run's own figure.
void stop_at_power_limits(const Figures& base, const Figures& at_limits,
                          const std::vector<Swing>& swings,
                          std::map<std::string, BandFactor>& bands);

}  // namespace tandem
