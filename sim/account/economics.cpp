#include "sim/account/economics.hpp"

#include <set>

#include "sim/account/ownership.hpp"

namespace tandem {
namespace {

constexpr double grams_per_kilogram = 1e3;

/// What the tokens of an hour of the run fetch at prices per million.
struct HourOfTokens {
  double input_millions = 0;
  double output_millions = 0;
  [[nodiscard]] double at(double usd_per_input, double usd_per_output) const {
    return input_millions * usd_per_input + output_millions * usd_per_output;
  }
};

HourOfTokens hour_of(const RunResult& result, double time_scale) {
  const double hours = result.simulated_s * time_scale / seconds_per_hour;
  return {static_cast<double>(result.input_tokens) / tokens_per_million / hours,
          static_cast<double>(result.output_tokens) / tokens_per_million / hours};
}

void add_carbon(const ParameterSet& prices, const HourOfTokens& hour, const Accounting& books,
                Economics& economics) {
  if (!books.average_power_w || price_or(prices, "carbon", 0) <= 0) return;
  const double joules_per_hour = *books.average_power_w * prices.value("pue") * seconds_per_hour;
  const double grams_per_hour = joules_per_hour * prices.value("carbon");
  economics.carbon_kg_per_hour = grams_per_hour / grams_per_kilogram;
  economics.carbon_g_per_m_output_tokens = grams_per_hour / hour.output_millions;
}

std::set<std::string> tier_names(const ParameterSet& prices) {
  constexpr std::string_view prefix = "tiers.";
  std::set<std::string> names;
  for (const auto& [key, value] : prices.all()) {
    if (!key.starts_with(prefix)) continue;
    names.insert(key.substr(prefix.size(), key.rfind('.') - prefix.size()));
  }
  return names;
}

void add_tiers(const ParameterSet& prices, const HourOfTokens& hour, const Accounting& books,
               Economics& economics) {
  if (!books.usd_per_hour_used) return;
  for (const std::string& name : tier_names(prices)) {
    const double revenue = hour.at(price_or(prices, "tiers." + name + ".input", 0),
                                   price_or(prices, "tiers." + name + ".output", 0));
    if (revenue <= 0) continue;
    const double cost = *books.usd_per_hour_used;
    economics.tiers[name] = {revenue, (revenue - cost) / revenue, cost / revenue};
  }
}

/// Sums over the placed chips; absent as soon as one has no price.
std::optional<double> sum_of(const RunResult& result, const ParameterSet& prices,
                             std::optional<double> (*hourly)(const ParameterSet&,
                                                             const std::string&)) {
  double sum = 0;
  for (const PoolUse& pool : result.pools) {
    const std::optional<double> one = hourly(prices, "chips." + pool.chip);
    if (!one) return std::nullopt;
    sum += *one * pool.kept_chips();
  }
  return sum / share_loaded(prices);
}

void add_costs(const ParameterSet& prices, const RunResult& result, const HourOfTokens& hour,
               const Accounting& books, HourlyCosts& costs) {
  const std::optional<double> capital = sum_of(result, prices, owned_usd_per_hour);
  costs.rented = sum_of(result, prices, rented_usd_per_hour);
  if (capital && books.average_power_w) {
    const double upkeep = upkeep_usd_per_hour(prices, *books.average_power_w);
    costs.owned = *capital + upkeep;
    if (costs.rented && *costs.rented > upkeep) {
      // `capital` is spread over the book's share of hours in use; the share that pays is sought.
      const double in_use_always = *capital * capital_terms(prices).utilisation;
      costs.owning_pays_above = in_use_always / (*costs.rented - upkeep);
    }
  }
  if (price_or(prices, "purchase.output", 0) > 0) {
    costs.purchase =
        hour.at(price_or(prices, "purchase.input", 0), prices.value("purchase.output"));
    const std::optional<double> own = costs.owned ? costs.owned : costs.rented;
    if (own && *costs.purchase > 0) costs.running_pays_above = *own / *costs.purchase;
  }
}

}  // namespace

Economics economics_of(const Scenario& scenario, const RunResult& result, const Accounting& books,
                       double time_scale) {
  const ParameterSet& prices = scenario.prices.parameters;
  Economics economics;
  if (!prices.has("life")) return economics;
  const HourOfTokens hour = hour_of(result, time_scale);
  add_carbon(prices, hour, books, economics);
  add_tiers(prices, hour, books, economics);
  add_costs(prices, result, hour, books, economics.usd_per_hour);
  return economics;
}

}  // namespace tandem
