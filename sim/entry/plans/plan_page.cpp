#include "sim/entry/plans/plan_page.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "sim/entry/sweeps/sweep_figures.hpp"
#include "sim/entry/sweeps/sweep_summary.hpp"

namespace tandem::entry {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t most_bars = 10;

constexpr std::string_view economics = "economics.";

/// The key of a figure in bands: latencies have one for all their statistics.
std::string band_key(const std::string& figure) {
  if (figure.starts_with(economics)) return figure.substr(economics.size());
  return figure.substr(0, figure.find('.'));
}

/// "  [low, high]" of a dotted figure as the result has it; nothing where it has none.
std::string band_text(const Json& result, const std::string& figure) {
  std::string path = "/bands/" + figure;
  std::replace(path.begin(), path.end(), '.', '/');
  const Json::json_pointer place(path);
  if (!result.contains(place) || !result.at(place).is_array()) return {};
  const Json& band = result.at(place);
  return fmt::format("  [{:.5g}, {:.5g}]", band[0].get<double>(), band[1].get<double>());
}

const PointResult* best_result(const PlanSearch& search, const std::vector<PointResult>& results) {
  const std::optional<std::size_t> best = search.best();
  if (!best) return nullptr;
  const auto found = std::find_if(results.begin(), results.end(), [&](const PointResult& result) {
    return result.point == static_cast<std::int64_t>(*best);
  });
  return found == results.end() ? nullptr : &*found;
}

/// Which objectives of latency the candidates were held to, and whose they are.
std::string slo_lines(const PlanSearch& search) {
  const auto line = [](const Slo& slo, const std::string& whose) {
    const std::vector<std::string> conditions = conditions_of(slo);
    return fmt::format(
        "SLO of {}: {}\n", whose,
        conditions.empty() ? "none" : fmt::format("{}", fmt::join(conditions, ", ")));
  };
  if (search.plan().slo) return line(*search.plan().slo, "the plan");
  std::vector<std::string> lines;
  const std::vector<SweepPoint>& points = search.plan().candidates.points;
  for (std::size_t i = 0; i < points.size(); ++i) {
    if (!search.slo_of(i)) continue;  // it was left out before its scenario was looked at
    std::string text = line(*search.slo_of(i), "scenario " + points[i].scenario);
    if (std::find(lines.begin(), lines.end(), text) == lines.end()) lines.push_back(text);
  }
  return fmt::format("{}", fmt::join(lines, ""));
}

}  // namespace

std::string swings_task(const PlanSearch& search) {
  const std::optional<std::size_t> best = search.best();
  if (!best) return {};
  Json task = Json::parse(search.task_of(*best));
  task["swings"] = true;
  return task.dump();
}

std::vector<TornadoBar> tornado_of(const PlanSearch& search, const std::string& answer) {
  const Json json = Json::parse(answer);
  if (!json.contains("swings")) return {};
  const std::string figure = search.plan().candidates.objectives.front().figure;
  std::vector<TornadoBar> bars;
  for (const Json& swing : Json::parse(json["swings"].get<std::string>())) {
    const auto factor = swing["figures"].find(band_key(figure));
    if (factor == swing["figures"].end()) continue;
    const TornadoBar bar{figure,
                         swing["parameter"].get<std::string>(),
                         swing["low"].get<double>(),
                         swing["high"].get<double>(),
                         swing["source"].get<std::string>(),
                         swing["basis"].get<std::string>(),
                         (*factor)[0].get<double>(),
                         (*factor)[1].get<double>(),
                         swing["range"].get<std::string>()};
    if (bar.largest > bar.least) bars.push_back(bar);
  }
  std::stable_sort(bars.begin(), bars.end(), [](const TornadoBar& a, const TornadoBar& b) {
    return a.largest - a.least > b.largest - b.least;
  });
  if (bars.size() > most_bars) bars.resize(most_bars);
  return bars;
}

std::string tornado_page(const std::vector<TornadoBar>& bars) {
  if (bars.empty()) return {};
  std::string page =
      fmt::format("what {} hangs on most, over the ranges of the inputs:\n", bars.front().figure);
  for (const TornadoBar& bar : bars) {
    page += fmt::format("  {:44} {:+6.1f} % to {:+6.1f} %  ({}, {})\n", bar.parameter,
                        100 * (bar.least - 1), 100 * (bar.largest - 1), bar.range, bar.basis);
  }
  return page;
}

std::string plan_page(const PlanSearch& search) {
  const std::vector<PointResult> results = search.results();
  const PointResult* best = best_result(search, results);
  std::string page;
  if (best != nullptr) {
    const std::size_t index = static_cast<std::size_t>(best->point);
    page += fmt::format("answer: {} with {}\n", search.plan().candidates.points[index].scenario,
                        best->overrides);
    const auto figures = figures_of_result(best->result);
    const Json result = Json::parse(best->result);
    for (const char* name :
         {"usd_per_m_total_tokens", "usd_per_hour_used", "output_tokens_per_s",
          "output_tokens_per_s_per_user", "ttft_ms.p99", "tpot_ms.p99", "average_power_w",
          "energy_j_per_output_token", "economics.carbon_g_per_m_output_tokens"}) {
      const auto figure = figures.find(name);
      if (figure == figures.end()) continue;
      page += fmt::format("  {:40} {:.5g}{}\n", name, figure->second, band_text(result, name));
    }
    for (const Json& warning : result["warnings"]) {
      page += fmt::format("  {}\n", warning.get<std::string>());
    }
  }
  return page + slo_lines(search) + sweep_page(search.plan().candidates, results);
}

}  // namespace tandem::entry
