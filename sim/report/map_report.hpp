// Maps of users by context length, for people and for programs.
#pragma once

#include <string>
#include <vector>

#include "sim/service/capacity_map.hpp"

namespace tandem {

struct MapReport {
  const Scenario& scenario;
  const CapacityMap& map;
};

/// One table per system: a row per context, tokens per second and user per number of users, and
/// what bounds them.
[[nodiscard]] std::string map_page(const std::vector<MapReport>& reports);

/// {"systems": [{scenario, rows: [{context_tokens, most_users, limit, problem, cells: [{users,
/// fits, bound, tpot_ms, output_tokens_per_s_per_user, output_tokens_per_s}]}]}]}.
[[nodiscard]] std::string map_json(const std::vector<MapReport>& reports);

}  // namespace tandem
