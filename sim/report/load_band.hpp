// Where the highest load of a search for capacity would be with latencies at the ends of their
// bands.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "sim/account/bands.hpp"
#include "sim/describe/scenario.hpp"
#include "sim/service/capacity.hpp"

namespace tandem {

/// Users at the two ends; an end that the loads tried do not tell is absent.
struct LoadBand {
  std::optional<double> low;  ///< 0: not even the least load tried, one user, holds
  std::optional<double> high;
  std::string note;  ///< why an end is absent; empty when none is
};

/// Closed loops without time to think: the most users with whom p99 of TTFT and TPOT, both times
/// the same end of their bands at `found`, are within the objectives, on straight lines between the
/// loads `tried` (rising), and no more than `found` where no load tried breaks them. First order:
/// at every load latencies move by the factor of the mean at `found`. Other traffic has none: with
/// a rate, queues move by more than passes do.
[[nodiscard]] LoadBand load_band_of(const Scenario& scenario, double found,
                                    const std::vector<LoadPoint>& tried,
                                    const std::map<std::string, BandFactor>& bands);

}  // namespace tandem
