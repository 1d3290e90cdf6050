// The pages that `tandem describe` prints.
#pragma once

#include <string>

#include "sim/describe/scenario.hpp"
#include "sim/lower/chip_model.hpp"

namespace tandem::entry {

/// A table of parameters: value with unit, basis, range, source.
[[nodiscard]] std::string describe_parameters(const std::string& name,
                                              const ParameterSet& parameters, bool fitted_only);

[[nodiscard]] std::string describe_system(const System& system);

/// The scenario's pools and where each stage's bytes go on its chip.
[[nodiscard]] std::string describe_scenario(const Scenario& scenario, const Catalogue& catalogue);

/// "lp30: 41 of 60 numbers are assumed; these times carry no band", or nothing where none is.
[[nodiscard]] std::string assumption_note(const Chip& chip,
                                          const char* consequence = "these times carry no band");

/// The value with an SI prefix that leaves 1 to 999 before the point: "1.5 GB".
[[nodiscard]] std::string si_text(double value, const char* unit);

/// A value in a readable unit of its dimension: "3.35 TB/s".
[[nodiscard]] std::string with_unit(double value, Dimension dimension);

}  // namespace tandem::entry
