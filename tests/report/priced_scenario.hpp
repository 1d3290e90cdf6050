// Prices with which the books of runs on fake chips can be worked out by hand.
#pragma once

#include "tests/step/fakes.hpp"

namespace tandem::fakes {

/// Chips of 20,000 and 10,000 USD over 10,000 hours, 100 W of the host per chip.
inline Scenario priced(Scenario s) {
  set(s.system.parameters, "host_power", 1600);
  ParameterSet& p = s.prices.parameters;
  set(p, "electricity", 0.09 / 3.6e6);
  set(p, "pue", 1.2);
  set(p, "life", 10000 * 3600.0);
  set(p, "hosting", 0.1 / 3.6e6);
  set(p, "chips.big.capital", 20000);
  set(p, "chips.small.capital", 10000);
  return s;
}

}  // namespace tandem::fakes
