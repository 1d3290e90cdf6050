// What a scenario asks of its system, in words: traffic, objectives, batching, formats, prices.
#pragma once

#include <string>

#include "sim/describe/scenario.hpp"

namespace tandem::entry {

/// Lines of `tandem describe SCENARIO`, inherited values among them.
[[nodiscard]] std::string describe_load(const Scenario& scenario);

}  // namespace tandem::entry
