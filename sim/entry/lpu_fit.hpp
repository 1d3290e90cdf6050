// `tandem lpu fit`: chips, racks, power and money that a model takes on LPUs.
#pragma once

#include <string>

#include "models/lpu/partition/partition.hpp"
#include "sim/entry/context.hpp"

namespace tandem::entry {

/// What the command asks.
struct RackQuestion {
  std::string model;
  std::string chip;    ///< empty: the fabric's
  std::string fabric;  ///< empty: the usual one of the chip; of LP30 where neither is named
  std::string prices = "default_2026";
  bool compiled = false;  ///< compile and run every partition too
  lpu::FitQuestion fit;
};

/// A table over tensor groups, with the fewest chips and the shortest step marked. Throws
/// ConfigError for names that do not exist and values out of range.
[[nodiscard]] std::string fit_page(const Context& context, const RackQuestion& question);

}  // namespace tandem::entry
