#include "sim/account/power_limit.hpp"

#include <algorithm>
#include <cmath>

#include "sim/account/ownership.hpp"

namespace tandem {
namespace {

double top_of(const ParameterSet& parameters, const std::string& name) {
  if (!parameters.has(name)) return 0;
  const Parameter& parameter = parameters.at(name);
  return std::max(parameter.value, parameter.high.value_or(parameter.value));
}

void raise_to_top(ParameterSet& parameters, const std::string& name) {
  if (!parameters.has(name)) return;
  Parameter raised = parameters.at(name);
  raised.value = top_of(parameters, name);
  parameters.set(name, raised);
}

/// With hosts and links at the top of their ranges.
Scenario with_most_around_chips(const Scenario& scenario) {
  Scenario most = scenario;
  System& system = most.system;
  raise_to_top(system.parameters, "host_power");
  for (const ChipGroup& group : system.groups) {
    raise_to_top(system.parameters, "host_power_per_chip." + group.pool);
  }
  for (auto& [name, link] : system.links) raise_to_top(link.parameters, "energy_per_byte");
  return most;
}

bool moves_power(const Swing& swing) {
  constexpr double rounding = 1e-9;
  const auto power = swing.figures.find("average_power_w");
  return power != swing.figures.end() &&
         (power->second.low < 1 - rounding || power->second.high > 1 + rounding);
}

/// Relative deviation above by the ranges of what does not move power.
double spread_above(const std::string& figure, const std::vector<Swing>& swings) {
  double squares = 0;
  for (const Swing& swing : swings) {
    const auto ends = swing.figures.find(figure);
    if (ends == swing.figures.end() || moves_power(swing)) continue;
    squares += (ends->second.high - 1) * (ends->second.high - 1);
  }
  return std::sqrt(squares);
}

/// Whether every chip of the run has a limit and keeps it.
bool keeps_limits(const System& system, const RunResult& result) {
  constexpr double rounding = 1.01;  // of interpolated passes
  return std::ranges::all_of(result.pools, [&](const PoolUse& pool) {
    const double limit = top_of(system.chips.at(pool.chip).parameters, "tdp");
    const std::optional<double> watts = watts_at_work(pool, result.simulated_s);
    return limit > 0 && (!watts || *watts <= limit * rounding);
  });
}

/// What the system's cap leaves to the placed chips and their hosts; nothing without a cap.
std::optional<double> share_of_cap(const System& system, const RunResult& result) {
  const double cap = price_or(system.parameters, "power_cap", 0);
  if (cap <= 0) return std::nullopt;
  double hosts = 0, chips = 0;
  for (const ChipGroup& group : system.groups) {
    const auto count = static_cast<double>(group.count);
    hosts += host_watts_per_chip(system, group.pool) * count;
    chips += count;
  }
  double share = 0;
  for (const PoolUse& pool : result.pools) {
    share += pool.kept_chips() * ((cap - hosts) / chips + host_watts_per_chip(system, pool.pool));
  }
  return share;
}

double placed_chips(const RunResult& result) {
  double placed = 0;
  for (const PoolUse& pool : result.pools) placed += pool.kept_chips();
  return placed;
}

/// Books of a run whose chips draw `less` watts than their limits all the time: no activity costs
/// anything, all is drawn at rest.
Accounting books_at_limits(const Scenario& most, const RunResult& result, double less,
                           double duration) {
  std::map<std::string, EnergyCoefficients> coefficients;
  for (const PoolUse& pool : result.pools) {
    EnergyCoefficients& chip = coefficients[pool.name];
    chip.static_power_w = top_of(most.system.chips.at(pool.chip).parameters, "tdp") - less;
    for (const auto& [name, joules] : pool.energy_per_count_j) chip.energy_per_count_j[name] = 0;
  }
  return account_with(most, result, coefficients, duration);
}

/// Figures of an hour, however long the run takes.
bool is_of_an_hour(const std::string& figure) {
  return figure == "average_power_w" || figure == "carbon_kg_per_hour" || figure == "usd_per_hour";
}

/// Figures that are proportional to power or energy.
bool is_of_power(const std::string& figure) {
  return figure == "average_power_w" || figure == "carbon_kg_per_hour" ||
         figure == "energy_j_per_output_token" || figure == "carbon_g_per_m_output_tokens";
}

}  // namespace

std::optional<double> watts_at_work(const PoolUse& pool, double seconds) {
  const double chip_seconds = pool.busy * static_cast<double>(pool.chips) * seconds;
  if (chip_seconds <= 0 || pool.totals.activity.empty()) return std::nullopt;
  double joules = 0;
  for (const auto& [name, count] : pool.totals.activity) {
    const auto energy = pool.energy_per_count_j.find(name);
    if (energy != pool.energy_per_count_j.end()) joules += count * energy->second;
  }
  return pool.static_power_w + joules / chip_seconds;
}

std::optional<Figures> figures_at_power_limits(const Scenario& scenario, const RunFigures& run,
                                               std::optional<double> duration) {
  const RunResult& result = run.result();
  if (result.fidelity != Fidelity::Cycle || !keeps_limits(scenario.system, result)) {
    return std::nullopt;
  }
  const Scenario most = with_most_around_chips(scenario);
  const double times = duration.value_or(1);
  Accounting books = books_at_limits(most, result, 0, times);
  const std::optional<double> share = share_of_cap(scenario.system, result);
  if (share && books.average_power_w && *books.average_power_w > *share) {
    const double less = (*books.average_power_w - *share) / placed_chips(result);
    books = books_at_limits(most, result, less, times);
  }
  Figures figures = run.lasting(times, books, most);
  if (!duration) std::erase_if(figures, [](const auto& f) { return !is_of_an_hour(f.first); });
  return figures;
}

void stop_at_power_limits(const Figures& base, const Figures& at_limits,
                          const std::vector<Swing>& swings,
                          std::map<std::string, BandFactor>& bands) {
  for (auto& [figure, band] : bands) {
    const auto limit = at_limits.find(figure);
    if (limit == at_limits.end()) continue;
    if (limit->second <= base.at(figure) && !is_of_power(figure)) continue;
    const double highest = std::max(1.0, limit->second / base.at(figure));
    const double middle = std::min(band.middle, highest);
    const double above = std::max(0.0, band.high / middle - 1);
    const double of_others = spread_above(figure, swings);
    const double of_power = std::sqrt(std::max(0.0, above * above - of_others * of_others));
    const double end =
        middle * (1 + std::hypot(std::min(of_power, highest / middle - 1), of_others));
    if (end >= band.high) continue;
    band.high = std::max(1.0, end);
    band.low = std::min(band.low, band.high);
    if (figure != "energy_j_per_output_token") continue;
    // The reciprocal of energy: no more joules per token, no fewer tokens per joule.
    const auto tokens = bands.find("tokens_per_s_per_mw");
    if (tokens == bands.end()) continue;
    tokens->second.low = std::max(tokens->second.low, 1 / band.high);
    tokens->second.high = std::max(tokens->second.high, tokens->second.low);
  }
}

}  // namespace tandem
