// Plans: which of many systems, placements and loads reaches a goal within limits.
#pragma once

#include <optional>
#include <string>

#include "sim/config/sweep.hpp"

namespace tandem {

enum class PlanGoal : std::uint8_t { Cheapest, Fastest, MostTokens, LeastEnergy, LeastCarbon };

struct Plan {
  PlanGoal goal = PlanGoal::Cheapest;
  /// The candidates, each at each load; the limits as constraints; as objectives the goal's figure
  /// and what it is traded against.
  Sweep candidates;
  /// The plan's own objectives of latency; without them each candidate has its scenario's.
  std::optional<Slo> slo;
  std::optional<double> power_w;              ///< most, of the placed chips with their hosts
  std::optional<double> usd_per_hour;         ///< most, for the placed chips
  std::optional<double> output_tokens_per_s;  ///< least
};

/// The figure of a goal: the first objective of its plans.
[[nodiscard]] Objective objective_of(PlanGoal goal);

/// Reads a plan as far as it goes, as read_sweep() does: docs/planning.md has the language.
/// Mistakes are in `candidates`.
[[nodiscard]] Plan read_plan(const ConfigRoots& roots, const std::string& path_or_name);

/// The same; throws ConfigError with all mistakes.
[[nodiscard]] Plan load_plan(const ConfigRoots& roots, const std::string& path_or_name);

}  // namespace tandem
