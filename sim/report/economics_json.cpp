#include "sim/report/economics_json.hpp"

#include "sim/account/economics.hpp"
#include "sim/report/traffic_json.hpp"

namespace tandem {
namespace {

Json tiers_json(const Economics& economics) {
  Json tiers = Json::object();
  for (const auto& [name, tier] : economics.tiers) {
    tiers[name] = {{"revenue_usd_per_hour", tier.revenue_usd_per_hour},
                   {"margin", tier.margin},
                   {"break_even_share", tier.break_even_share}};
  }
  return tiers;
}

}  // namespace

Json economics_json(const ReportInput& input) {
  const Economics e = economics_of(input.scenario, input.result, input.accounting);
  const HourlyCosts& costs = e.usd_per_hour;
  return {{"carbon_g_per_m_output_tokens", optional_number(e.carbon_g_per_m_output_tokens)},
          {"carbon_kg_per_hour", optional_number(e.carbon_kg_per_hour)},
          {"tiers", tiers_json(e)},
          {"owned_usd_per_hour", optional_number(costs.owned)},
          {"rented_usd_per_hour", optional_number(costs.rented)},
          {"purchase_usd_per_hour", optional_number(costs.purchase)},
          {"owning_pays_above", optional_number(costs.owning_pays_above)},
          {"running_pays_above", optional_number(costs.running_pays_above)}};
}

Json numbers_json(const std::map<std::string, double>& numbers) {
  if (numbers.empty()) return nullptr;
  Json json = Json::object();
  for (const auto& [name, number] : numbers) json[name] = number;
  return json;
}

Json energy_breakdown_json(const ReportInput& input) {
  if (!input.accounting.energy_j) return nullptr;
  std::map<std::string, double> joules = input.accounting.energy_j->by_component;
  const ParameterSet& prices = input.scenario.prices.parameters;
  if (prices.has("pue")) {
    joules["cooling"] = input.accounting.energy_j->total() * (prices.value("pue") - 1);
  }
  return numbers_json(joules);
}

}  // namespace tandem
