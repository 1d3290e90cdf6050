// Prices against the chips and systems that there are.
#pragma once

#include "sim/config/build.hpp"

namespace tandem::config {

/// Reports prices of chips and systems that are neither in the library, nor beside the price book,
/// nor of `system` (the scenario's; null for a book alone), and a price of bought prompts without
/// one of answers.
void check_prices(const Tree& tree, const System* system, ReadContext& context);

/// Reports prices that a scenario's own files or the command line set of chips and systems that are
/// neither in the library nor of `system`: the price of what runs would stay as it was.
void check_own_prices(const Tree& tree, const System& system,
                      const std::vector<std::string>& scenario_files, ReadContext& context);

}  // namespace tandem::config
