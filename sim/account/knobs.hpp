// The numbers of a scenario that can be changed one at a time.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "sim/describe/scenario.hpp"
#include "sim/service/run_result.hpp"

namespace tandem {

/// Stands for a number that is not of one kind of chip.
inline const std::string any_chip;

/// One number that can be changed.
struct Knob {
  std::string name;
  Parameter parameter;
  std::string chip;          ///< whose number it is, or any_chip
  bool is_physical = false;  ///< of a chip or a link: energies depend on it
  /// Whether analytical times may depend on it: energies and powers only move the clock, which
  /// floors do not see.
  [[nodiscard]] bool moves_time() const {
    return is_physical && parameter.dimension != Dimension::Energy &&
           parameter.dimension != Dimension::Power;
  }
  std::function<void(Scenario&, double)> set;
};

/// Sourced numbers of the placed chips, the links, the system and the prices.
[[nodiscard]] std::vector<Knob> knobs_of(const Scenario& scenario, const RunResult& result);

}  // namespace tandem
