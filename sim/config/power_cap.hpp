// A limit on the power of a whole system, as a limit of each of its chips.
#pragma once

#include "sim/config/build.hpp"

namespace tandem::config {

/// Lowers the `tdp` of every chip to its equal share of what `power_cap` leaves after the hosts;
/// chips whose own limit is lower keep it. Reports a cap that leaves a chip no more than it draws
/// at rest, and chips that have no limit to lower.
void share_power_cap(const Tree& tree, System& system, ReadContext& context);

}  // namespace tandem::config
