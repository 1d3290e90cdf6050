#include "sim/account/warnings.hpp"

#include <fmt/format.h>

#include <optional>
#include <set>

#include "sim/account/accounting.hpp"
#include "sim/account/ownership.hpp"
#include "sim/account/power_limit.hpp"

namespace tandem {
namespace {

/// How a price book charges something; nothing where it has no price of it.
enum class Charge : std::uint8_t { Rent, Own };
std::optional<Charge> charge_of(const ParameterSet& prices, const std::string& prefix) {
  if (rented_usd_per_hour(prices, prefix)) return Charge::Rent;
  if (owned_usd_per_hour(prices, prefix)) return Charge::Own;
  return std::nullopt;
}

void warn_of_prices(const Scenario& scenario, std::vector<std::string>& warnings) {
  const Prices& prices = scenario.prices;
  if (!prices.parameters.has("life")) return;
  std::set<std::string> rented, owned;
  for (const ChipGroup& group : scenario.system.groups) {
    const auto charge = charge_of(prices.parameters, "chips." + group.chip);
    if (charge == Charge::Rent) rented.insert(group.chip);
    if (charge == Charge::Own) owned.insert(group.chip);
  }
  if (!rented.empty() && !owned.empty()) {
    warnings.push_back(fmt::format(
        "prices '{}' have a rent of {} and none of {}, charged as owned: USD mix the two; compare "
        "systems under prices that charge all of their chips one way",
        prices.name, fmt::join(rented, ", "), fmt::join(owned, ", ")));
  }
  const auto whole = charge_of(prices.parameters, "systems." + scenario.system.name);
  if ((whole == Charge::Rent && !owned.empty()) || (whole == Charge::Own && !rented.empty())) {
    warnings.push_back(
        fmt::format("prices '{}' charge system {} as {} and its chips as {}: usd_per_hour and "
                    "usd_per_hour_used do not compare",
                    prices.name, scenario.system.name, whole == Charge::Rent ? "rented" : "owned",
                    whole == Charge::Rent ? "owned" : "rented"));
  }
}

/// Chips that serve and have no price.
void warn_of_missing_prices(const Scenario& scenario, const RunResult& result,
                            std::vector<std::string>& warnings) {
  const Prices& prices = scenario.prices;
  if (!prices.parameters.has("life")) return;
  if (charge_of(prices.parameters, "systems." + scenario.system.name)) return;
  std::set<std::string> missing;
  for (const PoolUse& pool : result.pools) {
    if (!charge_of(prices.parameters, "chips." + pool.chip)) missing.insert(pool.chip);
  }
  if (missing.empty()) return;
  warnings.push_back(
      fmt::format("prices '{}' have no price of {}: USD are not known; give one with e.g. --set "
                  "'prices.chips.{}.rent=2.5 USD/h'",
                  prices.name, fmt::join(missing, ", "), *missing.begin()));
}

/// A governor keeps each chip's limit, its share of the cap, unless its lowest clock draws more;
/// what the others leave of theirs it does not get.
void warn_of_power_cap(const Scenario& scenario, const RunResult& result,
                       std::vector<std::string>& warnings) {
  constexpr double rounding = 1.01;  // of interpolated passes
  const ParameterSet& system = scenario.system.parameters;
  if (!system.has("power_cap") || system.value("power_cap") <= 0) return;
  double placed = 0, chips_placed = 0;
  std::vector<std::string> above;
  for (const PoolUse& pool : result.pools) {
    const ParameterSet& chip = scenario.system.chips.at(pool.chip).parameters;
    const std::optional<double> watts = watts_at_work(pool, result.simulated_s);
    if (!watts || !chip.has("tdp")) continue;
    placed += pool.kept_chips() * (*watts + host_watts_per_chip(scenario.system, pool.pool));
    chips_placed += pool.kept_chips();
    if (*watts <= chip.value("tdp") * rounding) continue;
    above.push_back(fmt::format("{} of pool {} draws {:.0f} W at work with a share of {:.0f} W",
                                pool.chip, pool.name, *watts, chip.value("tdp")));
  }
  if (above.empty()) return;
  warnings.push_back(
      fmt::format("the lowest clock does not keep a chip's share of power_cap {:.0f} W: {}; {:.0f} "
                  "chips placed with their hosts draw {:.0f} W at work",
                  system.value("power_cap"), fmt::join(above, ", "), chips_placed, placed));
}

}  // namespace

std::vector<std::string> warnings_of(const Scenario& scenario, const RunResult& result) {
  std::vector<std::string> warnings;
  warn_of_prices(scenario, warnings);
  warn_of_missing_prices(scenario, result, warnings);
  if (result.fidelity == Fidelity::Cycle) warn_of_power_cap(scenario, result, warnings);
  return warnings;
}

}  // namespace tandem
