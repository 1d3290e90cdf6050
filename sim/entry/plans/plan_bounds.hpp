// What a candidate can at best be, from closed forms alone: the floors of single passes (analytical
// clock) and the price and power of chips that stand idle.
#pragma once

#include <limits>
#include <optional>

#include "sim/config/plan.hpp"
#include "sim/entry/context.hpp"

namespace tandem::entry {

/// Bounds of a candidate at a load; 0 or infinite where nothing is known.
struct PlanBounds {
  double ttft_ms = 0;  ///< no request has its first token sooner
  double tpot_ms = 0;  ///< nor its further ones
  double output_tokens_per_s = std::numeric_limits<double>::infinity();
  double total_tokens_per_s = std::numeric_limits<double>::infinity();
  double power_w = 0;       ///< at least, chips and hosts at rest
  double usd_per_hour = 0;  ///< at least, with that power
};

/// Bounds of a scenario. Of lengths that are drawn, of prompts that share prefixes, of speculation
/// and of mixes nothing is known but price and power. Throws ConfigError or ModelError where the
/// scenario does not fit.
///
/// - A request's first token waits for its prompt's pass, each further one for a pass of its own:
///   none is faster than the floor of such a pass alone at the shortest context.
/// - N users in a closed loop get at most N answers per time of one (Little's law); at any load a
///   replica makes at most n tokens per floor of a pass with n decodes, which grows with n.
[[nodiscard]] PlanBounds bounds_of(const Context& context, const Scenario& scenario,
                                   const std::string& store);

/// The best that a figure can be within the bounds; nothing where they say nothing.
[[nodiscard]] std::optional<double> best_figure(const std::string& figure,
                                                const PlanBounds& bounds);

/// Why a candidate with these bounds breaks a limit of the plan or the objectives that it is held
/// to; empty where it may not.
[[nodiscard]] std::string broken_limit(const Plan& plan, const Slo& slo, const PlanBounds& bounds);

}  // namespace tandem::entry
