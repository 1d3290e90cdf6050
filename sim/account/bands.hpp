// Bands of a run's figures: validated errors of the model and inputs with a range.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "sim/account/analytical_clock.hpp"
#include "sim/account/knobs.hpp"

namespace tandem {

/// A figure at the low and the high end, over its value: [0.9, 1.2] means -10 % to +20 %.
struct BandFactor {
  double low = 1;
  double high = 1;
  double middle = 1;  ///< with the known biases taken out
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

/// By summary key: output_tokens_per_s, ttft_ms, tpot_ms, e2e_ms, energy_j_per_output_token, ...
/// Only figures that some cause moves. Effects of several causes add as independent ones (root of
/// the sum of squares), each side by itself.
struct Bands {
  std::map<std::string, BandFactor> all;
  /// Without the errors of services (service_errors.hpp): what those are measured beside.
  std::map<std::string, BandFactor> of_kernels;
  std::vector<Swing> swings;  ///< of each number with a range
};

[[nodiscard]] Bands bands_of(const Scenario& scenario, const RunResult& result,
                             const AnalyticalClock& clock, const std::vector<Knob>& knobs);

}  // namespace tandem
