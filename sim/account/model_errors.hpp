// How wrong the times of a run may be: validated errors of the kernels it spends its time in, and
// ranges of the software's constants.
#pragma once

#include <string>
#include <vector>

#include "sim/describe/scenario.hpp"
#include "sim/service/run_result.hpp"

namespace tandem {

/// Validated error of a family of kernels, (predicted - measured) / measured.
struct FamilyError {
  const char* family;
  const char* chip;  ///< "": of chips without measurements of their own, the widest of the others
  double bias = 0;   ///< mean, signed
  double p90 = 0;    ///< of the absolute error
};
/// One line per family and chip of docs/validation.md, "Families against their targets", read when
/// this is built.
[[nodiscard]] const std::vector<FamilyError>& family_errors();

/// The family of a part of a pass; empty for parts whose time is none of kernels or exchanges.
/// `formats` is PoolUse::formats.
[[nodiscard]] std::string family_of(const std::string& part, const std::string& formats);

/// What one cause does to times: offsets relative to the run's own, at the ends of a 90 % interval.
struct TimeError {
  struct Ends {
    double low = 0;
    double high = 0;
  };
  std::string cause;
  double shift_prefill = 0;  ///< by bias, before the ends
  double shift_decode = 0;
  Ends prefill;  ///< of times to the first token
  Ends decode;   ///< of times between tokens
};

/// One per kernel family of the run's passes, and one per software constant with a range. Kernels
/// of one family err together, since the products of a pass are of one regime; families err apart.
/// Host time is not scaled by kernels' errors.
[[nodiscard]] std::vector<TimeError> time_errors(const Scenario& scenario, const RunResult& result);

}  // namespace tandem
