// The parts that a scenario is made of, so that two of them can be told apart part by part.
#pragma once

#include <map>
#include <string>

#include "sim/describe/scenario.hpp"

namespace tandem {

/// A part's content as text: numbers by key in base units, or one "hash" of what has no numbers.
using ConfigPart = std::map<std::string, std::string>;

/// Parts by name: "chips/h100_sxm", "links/nvlink4", "systems/..", "models/..", "software/..",
/// "prices/..", and "scenario" (placement, serving, traffic, SLO and everything else) as a hash.
[[nodiscard]] std::map<std::string, ConfigPart> config_parts(const Scenario& scenario);

}  // namespace tandem
