// The table of contents of the hardware models: one line each.
#pragma once

#include <string_view>
#include <vector>

#include "sim/describe/parameter.hpp"
#include "sim/lower/chip_model.hpp"
#include "sim/lower/network_model.hpp"

namespace tandem {

/// Every chip model that Tandem knows, by the name that chip files give as `model:`.
[[nodiscard]] Catalogue chip_catalogue();

/// Fitted numbers inside a chip model that act on time and are the same on all its chips.
[[nodiscard]] ParameterSet shared_constants(std::string_view chip_model);

/// What is wrong with the numbers of a chip that are right each by itself: complaints with places.
[[nodiscard]] std::vector<Diagnostic> chip_problems(const Chip& chip);

/// Makes the packet-train network of models/link for a system, and the collectives over it.
[[nodiscard]] NetworkFactory network_factory();

}  // namespace tandem
