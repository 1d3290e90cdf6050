// How the result hangs on its inputs: the analytical clock is asked again with one number changed.
// From it come the bands (numbers with a range) and the list of inputs that matter most.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "sim/account/accounting.hpp"

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

/// A figure at the low and the high end, over its value: [0.9, 1.2] means -10 % to +20 %.
struct BandFactor {
  double low = 1;
  double high = 1;
};

/// A number at the two ends of its range, all others as they are.
struct Swing {
  std::string parameter;
  double low = 0;  ///< the range
  double high = 0;
  std::string source;
  std::string basis;
  std::map<std::string, BandFactor> figures;  ///< by summary key, least and largest
};

struct Sensitivity {
  /// By summary key: output_tokens_per_s, ttft_ms, tpot_ms, e2e_ms, energy_j_per_output_token, ...
  /// Only figures that some ranged number moves. Effects of several numbers add as independent
  /// ones (root of the sum of squares), each side by itself.
  std::map<std::string, BandFactor> bands;
  std::vector<Swing> swings;          ///< of each number with a range, in no order
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
