#include "sim/entry/describe_prices.hpp"

#include <fmt/format.h>

#include <set>

#include "sim/account/ownership.hpp"

namespace tandem::entry {
namespace {

constexpr double kilowatt = 1e3;  // W

/// "-" for what the book has no price of.
std::string cell(double usd) {
  return usd > 0 ? fmt::format("{:.4f}", usd) : "-";
}

std::set<std::string> priced_chips(const ParameterSet& prices) {
  constexpr std::string_view prefix = "chips.";
  std::set<std::string> chips;
  for (const auto& [key, value] : prices.all()) {
    if (!key.starts_with(prefix)) continue;
    chips.insert(key.substr(prefix.size(), key.rfind('.') - prefix.size()));
  }
  return chips;
}

}  // namespace

std::string describe_hours(const Prices& prices) {
  const ParameterSet& book = prices.parameters;
  std::string page = fmt::format("\nUSD per hour\n  {:<16}{:>14}{:>10}{:>10}{:>10}{:>10}\n", "chip",
                                 "capital, USD", "capital", "power", "owned", "rented");
  for (const std::string& chip : priced_chips(book)) {
    const std::string prefix = "chips." + chip;
    const double capital = price_or(book, prefix + ".capital", 0);
    const double owned = owned_usd_per_hour(book, prefix).value_or(0);
    // `power` is read at the meter of the site, whose share upkeep adds again.
    const double at_meter = price_or(book, prefix + ".power", 0);
    const double power = at_meter > 0 ? upkeep_usd_per_hour(book, at_meter / book.value("pue")) : 0;
    page += fmt::format("  {:<16}{:>14}{:>10}{:>10}{:>10}{:>10}\n", chip,
                        capital > 0 ? fmt::format("{:.0f}", capital) : "-", cell(owned),
                        cell(power), cell(owned > 0 && power > 0 ? owned + power : 0),
                        cell(rented_usd_per_hour(book, prefix).value_or(0)));
  }
  page += fmt::format("  of a dollar of capital: {:.6g}\n",
                      hourly_share_of_capital(capital_terms(book)));
  return page +
         fmt::format(
             "  of a kilowatt that a run draws: {:.4f}, with cooling and hosting; '-' is what "
             "the book has no price of, or no 'power' to know it before a run\n",
             upkeep_usd_per_hour(book, kilowatt));
}

}  // namespace tandem::entry
