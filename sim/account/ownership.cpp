#include "sim/account/ownership.hpp"

#include <cmath>

#include "sim/core/diagnostics.hpp"

namespace tandem {
namespace {

constexpr double hours_per_year = 8760;
constexpr double hours_per_day = 24;
constexpr double months_per_year = 12;

/// Sum of level payments over what was lent, less one: interest paid on the way.
double level_payments_over_loan(double interest, double years) {
  const double rate = interest / months_per_year;
  const double months = years * months_per_year;
  if (rate <= 0) return 1;
  return months * rate / (1 - std::pow(1 + rate, -months));
}

}  // namespace

double price_or(const ParameterSet& prices, const std::string& name, double fallback) {
  return prices.has(name) ? prices.value(name) : fallback;
}

double hourly_share_of_capital(const CapitalTerms& terms) {
  return (1 + terms.spares) * level_payments_over_loan(terms.interest, terms.life_years) /
         (terms.life_years * hours_per_year) / terms.utilisation;
}

double weight_of_rent(const RentTerms& terms) {
  return 1 - terms.upfront +
         terms.upfront * level_payments_over_loan(terms.interest, terms.term_years);
}

CapitalTerms capital_terms(const ParameterSet& prices) {
  return {prices.value("life") / seconds_per_hour / hours_per_year, price_or(prices, "interest", 0),
          price_or(prices, "spares", 0), price_or(prices, "utilisation", 1)};
}

RentTerms rent_terms(const ParameterSet& prices) {
  double term = price_or(prices, "rent_term", 0);
  if (term <= 0) term = prices.value("life");
  return {price_or(prices, "rent_upfront", 0), term / seconds_per_hour / hours_per_year,
          price_or(prices, "interest", 0)};
}

std::optional<double> owned_usd_per_hour(const ParameterSet& prices, const std::string& prefix) {
  const double capital = price_or(prices, prefix + ".capital", 0);
  if (capital <= 0) return std::nullopt;
  return capital * hourly_share_of_capital(capital_terms(prices));
}

std::optional<double> rented_usd_per_hour(const ParameterSet& prices, const std::string& prefix) {
  const double rent = price_or(prices, prefix + ".rent", 0);
  if (rent <= 0) return std::nullopt;
  return rent * weight_of_rent(rent_terms(prices));
}

double upkeep_usd_per_hour(const ParameterSet& prices, double watts) {
  return watts * seconds_per_hour *
         (prices.value("pue") * prices.value("electricity") + price_or(prices, "hosting", 0));
}

double share_loaded(const ParameterSet& prices) {
  const double hours = price_or(prices, "load_time", 0) / seconds_per_hour;
  const double share = hours * price_or(prices, "loads_per_day", 0) / hours_per_day;
  if (share >= 1) {
    throw ConfigError(
        "prices: 'load_time' x 'loads_per_day' fills the day, so nothing is served; write fewer "
        "'loads_per_day'");
  }
  return 1 - share;
}

}  // namespace tandem
