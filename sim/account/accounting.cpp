#include "sim/account/accounting.hpp"

#include <fmt/format.h>

#include "sim/account/ownership.hpp"
#include "sim/core/diagnostics.hpp"

namespace tandem {
namespace {

constexpr double watts_per_megawatt = 1e6;

std::int64_t chips_in(const System& system) {
  std::int64_t chips = 0;
  for (const ChipGroup& group : system.groups) chips += group.count;
  return chips;
}

double value_or(const ParameterSet& parameters, const std::string& name, double fallback) {
  return parameters.has(name) ? parameters.value(name) : fallback;
}

/// Seconds that chips of a pool that decodes spend on what the software does per sequence.
double seconds_of_sequences(const Scenario& scenario, const RunResult& result,
                            const PoolUse& pool) {
  const ParameterSet& software = scenario.software.parameters;
  if (value_or(software, "sequences_on_chips", 0) == 0 || pool.totals.decode_floor_s <= 0) return 0;
  return value_or(software, "sequence_overhead", 0) * static_cast<double>(result.output_tokens) *
         static_cast<double>(pool.chips_per_replica);
}

/// The component of EnergyParts::by_component that an activity counts for.
std::string component_of(const std::string& activity) {
  if (activity == "active_nanoseconds") return "active";
  if (activity == "hbm_bytes") return "hbm";
  const bool is_sram =
      activity == "l2_bytes" || activity == "mem_reads" || activity == "mem_writes";
  return is_sram ? "sram" : "compute";
}

EnergyParts energy_of(const Scenario& scenario, const RunResult& result,
                      const std::map<std::string, EnergyCoefficients>& coefficients,
                      double seconds) {
  EnergyParts parts;
  for (const PoolUse& pool : result.pools) {
    const EnergyCoefficients& c = coefficients.at(pool.name);
    for (const auto& [name, count] : pool.totals.activity) {
      const auto energy = c.energy_per_count_j.find(name);
      if (energy == c.energy_per_count_j.end()) {
        throw ModelError(fmt::format("{}: activity '{}' has no energy", pool.chip, name));
      }
      parts.chips_dynamic += count * energy->second;
      parts.chips_by_group[pool.pool] += count * energy->second;
      parts.by_component[component_of(name)] += count * energy->second;
    }
    if (const auto active = c.energy_per_count_j.find("active_nanoseconds");
        active != c.energy_per_count_j.end()) {
      const double joules = seconds_of_sequences(scenario, result, pool) * 1e9 * active->second;
      parts.chips_dynamic += joules;
      parts.chips_by_group[pool.pool] += joules;
      parts.by_component["active"] += joules;
    }
    const double chip_seconds = pool.kept_chips() * seconds;
    parts.chips_static += c.static_power_w * chip_seconds;
    parts.chips_by_group[pool.pool] += c.static_power_w * chip_seconds;
    parts.host += host_watts_per_chip(scenario.system, pool.pool) * chip_seconds;
  }
  for (const auto& [name, use] : result.links) {
    const auto link = scenario.system.links.find(name);
    if (link == scenario.system.links.end()) continue;
    parts.links += static_cast<double>(use.bytes.count()) *
                   value_or(link->second.parameters, "energy_per_byte", 0);
  }
  parts.by_component["idle"] = parts.chips_static;
  parts.by_component["links"] = parts.links;
  parts.by_component["hosts"] = parts.host;
  return parts;
}

/// USD per hour of one thing with prices "<prefix>.capital" or "<prefix>.rent"; rent wins.
struct Rate {
  double usd_per_hour = 0;
  bool includes_power = false;
};
std::optional<Rate> rate_of(const ParameterSet& prices, const std::string& prefix) {
  if (const auto rent = rented_usd_per_hour(prices, prefix)) return Rate{*rent, true};
  const auto owned = owned_usd_per_hour(prices, prefix);
  return owned ? std::optional(Rate{*owned, false}) : std::nullopt;
}

/// What the power of the run's chips costs per chip and pool; groups without a pool draw none.
class CostModel {
 public:
  CostModel(const Scenario& scenario, std::map<std::string, double> watts_per_chip)
      : scenario_(scenario),
        prices_(scenario.prices.parameters),
        watts_per_chip_(std::move(watts_per_chip)) {}

  [[nodiscard]] std::optional<double> chip(const std::string& name, double watts) const {
    const std::optional<Rate> rate = rate_of(prices_, "chips." + name);
    if (!rate) return std::nullopt;
    return rate->usd_per_hour + (rate->includes_power ? 0 : upkeep_usd_per_hour(prices_, watts));
  }
  /// The chips of one pool with their share of the host.
  [[nodiscard]] std::optional<double> pool(const PoolUse& use) const {
    const std::optional<double> one = chip(use.chip, watts_with_host(use.pool));
    if (!one) return std::nullopt;
    return *one * use.kept_chips();
  }
  /// Of a chip as it stands there: its price, and whether power is to be paid on top.
  [[nodiscard]] std::optional<Rate> rate(const std::string& chip) const {
    return rate_of(prices_, "chips." + chip);
  }
  [[nodiscard]] double watts(const PoolUse& use) const {
    return watts_with_host(use.pool) * use.kept_chips();
  }
  [[nodiscard]] std::optional<double> whole_system() const {
    const std::string prefix = "systems." + scenario_.system.name;
    if (const std::optional<Rate> rate = rate_of(prices_, prefix)) {
      double watts = 0;
      for (const ChipGroup& group : scenario_.system.groups) {
        watts += watts_with_host(group.pool) * static_cast<double>(group.count);
      }
      return rate->usd_per_hour + (rate->includes_power ? 0 : upkeep_usd_per_hour(prices_, watts));
    }
    double total = 0;
    for (const ChipGroup& group : scenario_.system.groups) {
      const std::optional<double> one = chip(group.chip, watts_with_host(group.pool));
      if (!one) return std::nullopt;
      total += *one * static_cast<double>(group.count);
    }
    return total;
  }

 private:
  /// A chip and its hosts. Chips that the placement leaves out draw nothing, their hosts run.
  [[nodiscard]] double watts_with_host(const std::string& pool) const {
    const auto found = watts_per_chip_.find(pool);
    return (found == watts_per_chip_.end() ? 0 : found->second) +
           host_watts_per_chip(scenario_.system, pool);
  }

  const Scenario& scenario_;
  const ParameterSet& prices_;
  std::map<std::string, double> watts_per_chip_;  ///< by pool of the system
};

/// Power of one placed chip by pool of the system, its share of the links' energy included; static
/// power alone where no activity was counted.
std::map<std::string, double> watts_per_chip(const RunResult& result, const Accounting& books,
                                             double seconds) {
  std::map<std::string, double> chips;
  std::map<std::string, double> joules;
  double placed = 0;
  for (const PoolUse& pool : result.pools) {
    chips[pool.pool] += pool.kept_chips();
    joules[pool.pool] += pool.kept_chips() * pool.static_power_w * seconds;
    placed += pool.kept_chips();
  }
  if (books.energy_j) joules = books.energy_j->chips_by_group;
  const double links = books.energy_j ? books.energy_j->links / placed : 0;
  std::map<std::string, double> watts;
  for (const auto& [pool, count] : chips) watts[pool] = (joules[pool] / count + links) / seconds;
  return watts;
}

/// What usd_per_hour_used pays, by pool summed up; energies give their shares of the electricity.
std::map<std::string, double> components_of(const Scenario& scenario, const RunResult& result,
                                            const CostModel& costs, const EnergyParts& energy) {
  const ParameterSet& prices = scenario.prices.parameters;
  std::map<std::string, double> parts;
  double billed_watts = 0, sum = 0;
  for (const PoolUse& pool : result.pools) {
    const Rate rate = *costs.rate(pool.chip);
    parts[rate.includes_power ? "rent" : "capital"] += rate.usd_per_hour * pool.kept_chips();
    if (!rate.includes_power) billed_watts += costs.watts(pool);
    sum += *costs.pool(pool);
  }
  if (billed_watts > 0) {
    const double electricity = billed_watts * seconds_per_hour * prices.value("electricity");
    for (const auto& [component, joules] : energy.by_component) {
      parts["electricity_" + component] = electricity * joules / energy.total();
    }
    parts["electricity_cooling"] = electricity * (prices.value("pue") - 1);
    parts["hosting"] = billed_watts * seconds_per_hour * value_or(prices, "hosting", 0);
  }
  parts["loading"] = sum * (1 / share_loaded(prices) - 1);
  return parts;
}

void add_costs(const Scenario& scenario, const RunResult& result, double seconds,
               Accounting& books) {
  const CostModel costs(scenario, watts_per_chip(result, books, seconds));
  // Hours in which models are loaded cost as much and serve nobody.
  const double loaded = share_loaded(scenario.prices.parameters);
  if (const auto whole = costs.whole_system()) books.usd_per_hour = *whole / loaded;
  double used = 0, input = 0;
  for (const PoolUse& pool : result.pools) {
    const std::optional<double> cost = costs.pool(pool);
    if (!cost) return;
    const PoolTotals& t = pool.totals;
    const double floors = t.prefill_floor_s + t.decode_floor_s;
    const double serving = *cost / loaded;
    used += serving;
    input += floors > 0 ? serving * t.prefill_floor_s / floors : 0;
  }
  books.usd_per_hour_used = used;
  if (books.energy_j) {
    books.usd_per_hour_by_component = components_of(scenario, result, costs, *books.energy_j);
  }
  const double hours = seconds / seconds_per_hour;
  const auto in = static_cast<double>(result.input_tokens);
  const auto out = static_cast<double>(result.output_tokens);
  books.usd_per_m_input_tokens = input * hours / in * tokens_per_million;
  books.usd_per_m_output_tokens = (used - input) * hours / out * tokens_per_million;
  books.usd_per_m_total_tokens = used * hours / (in + out) * tokens_per_million;
}

}  // namespace

double host_watts_per_chip(const System& system, const std::string& pool) {
  return value_or(system.parameters, "host_power_per_chip." + pool, 0) +
         value_or(system.parameters, "host_power", 0) / static_cast<double>(chips_in(system));
}

Accounting account_with(const Scenario& scenario, const RunResult& result,
                        const std::map<std::string, EnergyCoefficients>& coefficients,
                        double time_scale) {
  Accounting books;
  const double seconds = result.simulated_s * time_scale;
  const auto out = static_cast<double>(result.output_tokens);
  if (result.fidelity == Fidelity::Cycle) {
    books.energy_j = energy_of(scenario, result, coefficients, seconds);
    const double power = books.energy_j->total() / seconds;
    books.average_power_w = power;
    books.energy_j_per_output_token = books.energy_j->total() / out;
    books.tokens_per_s_per_mw = out / seconds / (power / watts_per_megawatt);
  }
  if (scenario.prices.parameters.has("life")) add_costs(scenario, result, seconds, books);
  return books;
}

Accounting account(const Scenario& scenario, const RunResult& result) {
  std::map<std::string, EnergyCoefficients> coefficients;
  for (const PoolUse& pool : result.pools) {
    coefficients[pool.name] = {pool.static_power_w, pool.energy_per_count_j};
  }
  return account_with(scenario, result, coefficients, 1);
}

}  // namespace tandem
