#include "sim/account/run_figures.hpp"

#include <algorithm>

#include "sim/account/economics.hpp"
#include "sim/account/ownership.hpp"
#include "sim/service/backlog.hpp"

namespace tandem {
namespace {

void put(Figures& figures, const std::string& name, const std::optional<double>& value) {
  if (value) figures[name] = *value;
}

void put_economics(const Economics& economics, Figures& figures) {
  for (const auto& [name, tier] : economics.tiers) {
    figures["tiers." + name + ".revenue_usd_per_hour"] = tier.revenue_usd_per_hour;
    figures["tiers." + name + ".break_even_share"] = tier.break_even_share;
  }
  const HourlyCosts& costs = economics.usd_per_hour;
  put(figures, "owned_usd_per_hour", costs.owned);
  put(figures, "rented_usd_per_hour", costs.rented);
  put(figures, "purchase_usd_per_hour", costs.purchase);
  put(figures, "owning_pays_above", costs.owning_pays_above);
  put(figures, "running_pays_above", costs.running_pays_above);
}

/// The busiest pool of a run whose queue grew for as long as requests came; null for others.
const PoolUse* bottleneck_of(const RunResult& result) {
  const auto backlog = backlog_of(result);
  if (!backlog || !backlog->grows()) return nullptr;
  const auto busiest = std::max_element(result.pools.begin(), result.pools.end(),
                                        [](const PoolUse& one, const PoolUse& other) {
                                          return one.bottleneck_busy < other.bottleneck_busy;
                                        });
  return busiest == result.pools.end() ? nullptr : &*busiest;
}

}  // namespace

RunFigures::RunFigures(const RunResult& result)
    : result_(result), bottleneck_(bottleneck_of(result)) {}

double RunFigures::duration(const AnalyticalClock::Ratios& r) const {
  if (result_.traffic.arrivals == ArrivalKind::Closed) return request_time_ratio(result_, r);
  if (bottleneck_ == nullptr) return 1;
  const PoolTotals& work = bottleneck_->totals;
  const double floors = work.prefill_floor_s + work.decode_floor_s;
  return floors > 0 ? (work.prefill_floor_s * r.prefill + work.decode_floor_s * r.decode) / floors
                    : 1;
}

Figures RunFigures::at(const AnalyticalClock::Ratios& r, const Accounting& books,
                       const Scenario& scenario) const {
  Figures figures = lasting(duration(r), books, scenario);
  figures["ttft_ms"] = r.prefill;
  figures["tpot_ms"] = r.decode;
  figures["itl_ms"] = r.decode;
  figures["e2e_ms"] = request_time_ratio(result_, r);
  figures["output_tokens_per_s_per_user"] = 1 / r.decode;
  return figures;
}

Figures RunFigures::lasting(double duration, const Accounting& books,
                            const Scenario& scenario) const {
  Figures figures;
  for (const char* rate : {"output_tokens_per_s", "total_tokens_per_s", "requests_per_s"}) {
    figures[rate] = 1 / duration;
  }
  put(figures, "energy_j_per_output_token", books.energy_j_per_output_token);
  put(figures, "average_power_w", books.average_power_w);
  put(figures, "tokens_per_s_per_mw", books.tokens_per_s_per_mw);
  put(figures, "usd_per_hour", books.usd_per_hour);
  put(figures, "usd_per_hour_used", books.usd_per_hour_used);
  put(figures, "usd_per_m_input_tokens", books.usd_per_m_input_tokens);
  put(figures, "usd_per_m_output_tokens", books.usd_per_m_output_tokens);
  put(figures, "usd_per_m_total_tokens", books.usd_per_m_total_tokens);
  put_economics(economics_of(scenario, result_, books, duration), figures);
  const ParameterSet& prices = scenario.prices.parameters;
  const double grams_per_joule = price_or(prices, "carbon", 0) * price_or(prices, "pue", 1);
  if (prices.has("carbon") && books.average_power_w) {
    figures["carbon_kg_per_hour"] = *books.average_power_w * grams_per_joule;
    figures["carbon_g_per_m_output_tokens"] = *books.energy_j_per_output_token * grams_per_joule;
  }
  return figures;
}

Figures PassTimes::at(const AnalyticalClock::Ratios& r) const {
  return run_.at(r, account_with(scenario_, run_.result(), coefficients_, run_.duration(r)),
                 scenario_);
}

Figures PassTimes::lasting(double duration) const {
  return run_.lasting(duration, account_with(scenario_, run_.result(), coefficients_, duration),
                      scenario_);
}

}  // namespace tandem
