// The scenario that stands for a measured row of a service.
#pragma once

#include <string>
#include <vector>

#include "sim/config/loader.hpp"
#include "sim/entry/systems/served_names.hpp"
#include "sim/entry/systems/served_row.hpp"

namespace tandem::entry {

/// How a table's figures are read from the requests of a run.
enum class ServedStatistic : std::uint8_t {
  Loop,     ///< users that start together: means, as if each had sent ten requests
  Batch,    ///< one batch: means over its requests, its end
  Offline,  ///< all requests at once: tokens per second until the last one ends
  Steady,   ///< what further rounds of a full engine add: gaps between tokens, rates, power
};

/// Changes that make the scenario out of one that is shipped; or why the row is not predicted.
struct ServedCase {
  std::string reason;
  std::string model, chip;  ///< as in workloads/models and hw_configs/chips; empty: none
  std::vector<Override> changes;
  ServedStatistic statistic = ServedStatistic::Loop;
  std::int64_t users = 1;
  std::int64_t gpus = 1;
  std::int64_t copies = 1;  ///< of the scenario, side by side in the measured server
  bool reads_wall = false;  ///< energy is that of the whole server
};

/// `layer` names the software layer for a framework and its version.
[[nodiscard]] ServedCase served_case(const ServedRow& row, const ServedNames& names,
                                     const std::string& layer);

}  // namespace tandem::entry
