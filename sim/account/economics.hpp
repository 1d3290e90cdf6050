// Whether a service pays: carbon, revenue and margin by tier, owning against renting against
// buying tokens.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "sim/account/accounting.hpp"

namespace tandem {

/// All tokens of the run sold at one tier's prices.
struct TierBooks {
  double revenue_usd_per_hour = 0;
  double margin = 0;            ///< (revenue - cost) / revenue
  double break_even_share = 0;  ///< of the run's tokens per hour that pays for the chips
};

/// The chips placed, by who owns them; absent where the price book has no such price.
struct HourlyCosts {
  std::optional<double> owned;     ///< capital, electricity, hosting
  std::optional<double> rented;    ///< electricity and hosting included
  std::optional<double> purchase;  ///< the same tokens bought from others
  /// Share of the hours in use from which owning costs less than renting those hours alone: the
  /// `utilisation` of the price book at which `owned` is `rented`. Above 1 renting always costs
  /// less.
  std::optional<double> owning_pays_above;
  /// Share of the run's tokens from which running (owned, else rented) costs less than buying.
  std::optional<double> running_pays_above;
};

struct Economics {
  std::optional<double> carbon_g_per_m_output_tokens;
  std::optional<double> carbon_kg_per_hour;
  std::map<std::string, TierBooks> tiers;
  HourlyCosts usd_per_hour;
};

/// From the books of account(). Carbon is that of the electricity drawn, site included; tiers are
/// the price book's `tiers`, purchases its `purchase`. Idle hours of owned chips cost their capital
/// only. `time_scale`: of a run that takes so many times as long, whose books these are.
[[nodiscard]] Economics economics_of(const Scenario& scenario, const RunResult& result,
                                     const Accounting& books, double time_scale = 1);

}  // namespace tandem
