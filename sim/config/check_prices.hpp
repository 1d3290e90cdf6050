// Prices against the chips and systems that there are.
#pragma once

#include "sim/config/build.hpp"

namespace tandem::config {

/// Reports prices of chips and systems that are neither in the library, nor beside the price book,
/// nor of `system` (the scenario's; null for a book alone), and a price of bought prompts without
/// one of answers.
void check_prices(const Tree& tree, const System* system, ReadContext& context);

}  // namespace tandem::config
