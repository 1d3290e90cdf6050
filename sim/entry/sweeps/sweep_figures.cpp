#include "sim/entry/sweeps/sweep_figures.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "sim/core/diagnostics.hpp"
#include "sim/core/integers.hpp"

namespace tandem::entry {
namespace {

std::vector<std::string> make_summary_figures() {
  std::vector<std::string> figures = {"output_tokens_per_s", "total_tokens_per_s",
                                      "requests_per_s",      "offered_requests_per_s",
                                      "utilisation",         "output_tokens_per_s_per_user"};
  for (const std::string latency : {"ttft_ms", "tpot_ms", "itl_ms", "e2e_ms"}) {
    for (const char* statistic : {"mean", "p50", "p90", "p95", "p99"}) {
      figures.push_back(latency + "." + statistic);
    }
  }
  for (const char* figure :
       {"slo_attainment", "goodput_requests_per_s", "energy_j_per_output_token", "average_power_w",
        "tokens_per_s_per_mw", "usd_per_hour", "usd_per_hour_used", "usd_per_m_input_tokens",
        "usd_per_m_output_tokens", "usd_per_m_total_tokens"}) {
    figures.emplace_back(figure);
  }
  return figures;
}

/// Calls `take` with the dotted name of everything that is no object.
template <class Take>
void flatten(const nlohmann::ordered_json& value, const std::string& prefix, const Take& take) {
  for (const auto& [key, child] : value.items()) {
    const std::string name = prefix.empty() ? key : prefix + "." + key;
    if (child.is_object()) {
      flatten(child, name, take);
    } else {
      take(name, child);
    }
  }
}

std::int64_t chips_of_pool(const PoolPlacement& pool) {
  return (pool.gang() * pool.pipeline + pool.head_chips) * pool.replicas + pool.spares;
}

void add_chips(const Placement& placement, std::map<std::string, std::int64_t>& chips) {
  const auto add = [&](const PoolPlacement& pool) { chips[pool.pool] += chips_of_pool(pool); };
  add(placement.decode);
  if (placement.is_split()) add(placement.prefill);
  if (placement.has_ffn()) add(placement.ffn);
  if (placement.has_drafter()) add(placement.draft);
}

}  // namespace

const std::vector<std::string>& summary_figures() {
  static const std::vector<std::string> figures = make_summary_figures();
  return figures;
}

const std::vector<std::string>& known_figures() {
  static const std::vector<std::string> figures = [] {
    std::vector<std::string> all = summary_figures();
    all.emplace_back("economics.carbon_g_per_m_output_tokens");
    return all;
  }();
  return figures;
}

std::string near_figure(const std::string& name, const std::vector<std::string>& figures) {
  const std::string match = closest_match(name, figures);
  return match.empty() ? std::string("; docs/sweeps.md lists the figures")
                       : fmt::format("; did you mean '{}'?", match);
}

const std::vector<std::string>& banded_figures() {
  static const std::vector<std::string> figures = [] {
    std::vector<std::string> all = known_figures();
    std::erase(all, "offered_requests_per_s");
    std::erase(all, "utilisation");
    return all;
  }();
  return figures;
}

ExpressionValue value_of_figure(const std::string& name, double value) {
  struct Unit {
    const char* part;
    double unit;
    Dimension dimension;
  };
  constexpr Unit units[] = {{"_ms", 1e-3, Dimension::Time},
                            {"_power_w", 1, Dimension::Power},
                            {"energy_j", 1, Dimension::Energy},
                            {"usd_per_hour", 1, Dimension::MoneyRate},
                            {"usd_per_m_", 1, Dimension::Money},
                            {"carbon_g_", 1, Dimension::Carbon},
                            {"requests_per_s", 1, Dimension::RequestRate}};
  for (const Unit& unit : units) {
    if (name.find(unit.part) == std::string::npos) continue;
    return UnitNumber{value, unit.unit, unit.dimension, true};
  }
  return value;
}

std::string column_of(const std::string& figure) {
  std::string column = figure;
  std::replace(column.begin(), column.end(), '.', '_');
  return column;
}

ResultFigures read_figures(const std::string& result_json) {
  ResultFigures figures;
  if (result_json.empty()) return figures;
  const auto json = nlohmann::ordered_json::parse(result_json);
  const auto add_value = [&](const std::string& name, const nlohmann::ordered_json& value) {
    if (value.is_number()) figures.values.emplace(name, value.get<double>());
  };
  const auto add_band = [&](const std::string& name, const nlohmann::ordered_json& band) {
    if (band.is_array()) figures.bands[name] = {band[0].get<double>(), band[1].get<double>()};
  };
  if (json.contains("summary")) flatten(json["summary"], "", add_value);
  if (json.contains("economics")) flatten(json["economics"], "economics", add_value);
  if (json.contains("bands")) flatten(json["bands"], "", add_band);
  return figures;
}

std::map<std::string, double> figures_of_result(const std::string& result_json) {
  return read_figures(result_json).values;
}

std::map<std::string, std::int64_t> placed_chips_by_pool(const Scenario& scenario) {
  std::map<std::string, std::int64_t> chips;
  if (!scenario.is_mix()) add_chips(scenario.placement, chips);
  for (const Deployment& deployment : scenario.deployments) {
    if (!deployment.host) add_chips(deployment.placement, chips);
  }
  return chips;
}

std::int64_t placed_chips(const Scenario& scenario) {
  std::int64_t sum = 0;
  for (const auto& [pool, chips] : placed_chips_by_pool(scenario)) sum += chips;
  return sum;
}

std::optional<std::int64_t> placed_racks(const Scenario& scenario) {
  std::int64_t racks = 0;
  for (const auto& [pool, chips] : placed_chips_by_pool(scenario)) {
    const std::string key = "chips_per_rack." + pool;
    const ParameterSet& parameters = scenario.system.parameters;
    const auto of_one = static_cast<std::int64_t>(parameters.has(key) ? parameters.value(key) : 0);
    if (of_one <= 0) return std::nullopt;
    racks += ceil_div(chips, of_one);
  }
  return racks;
}

}  // namespace tandem::entry
