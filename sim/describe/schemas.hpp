// The numbers of the descriptions that belong to no hardware model: links, systems, prices and
// software. Chips bring their schema with their model (sim/lower/chip_model.hpp).
#pragma once

#include "sim/describe/parameter.hpp"

namespace tandem {

/// Numbers of a link class.
[[nodiscard]] ParameterSchema link_schema();

/// Numbers of a system as a whole: the power of what is not a chip.
[[nodiscard]] ParameterSchema system_schema();

/// Prices. A `*` in a name stands for any one word: `chips.*.capital` is read from
/// `chips: {h100_sxm: {capital: ...}}` and held as "chips.h100_sxm.capital". Optional numbers
/// under a `*` are held only when they are written.
[[nodiscard]] ParameterSchema prices_schema();

/// Overheads of the serving framework; at most four.
[[nodiscard]] ParameterSchema software_schema();

}  // namespace tandem
