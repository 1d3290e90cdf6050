// How the result hangs on its inputs: the analytical clock is asked again with one number changed.
// From it come the bands and the list of inputs that matter most.
#pragma once

#include <string>
#include <vector>

#include "sim/account/bands.hpp"

namespace tandem {

/// One sourced number and what it does to the time of a request.
struct Influence {
  std::string parameter;  ///< "chips.h100_sxm.hbm_bandwidth"
  double value = 0;
  std::string source;
  std::string basis;
  /// Relative change of the end-to-end time over the relative change of the number.
  double elasticity = 0;
};

struct Sensitivity {
  Bands bands;
  std::vector<Influence> provenance;  ///< strongest first, at most eight
};

/// Changes each number of the placed chips, the links between them, the system and the prices.
/// Chip and link numbers act on times through the analytical clock over the run's representative
/// passes, finite differences of 1 % for the influences; a change that a chip model refuses is left
/// out.
[[nodiscard]] Sensitivity sensitivity_of(const Scenario& scenario, const ServiceModel& model,
                                         const RunResult& result, const Catalogue& catalogue,
                                         const NetworkFactory& make_network);

}  // namespace tandem
