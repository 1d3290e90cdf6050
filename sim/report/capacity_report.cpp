#include "sim/report/capacity_report.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "sim/report/result_object.hpp"
#include "sim/report/summary.hpp"
#include "sim/report/table_text.hpp"
#include "sim/report/timelines_json.hpp"
#include "sim/report/traffic_json.hpp"

namespace tandem {
namespace {

/// Whole and parts of racks that the placed chips fill; none where a group's racks are not known.
std::optional<double> racks_of(const System& system, const RunResult& run) {
  double racks = 0;
  for (const PoolUse& pool : run.pools) {
    const std::string key = "chips_per_rack." + pool.pool;
    if (!system.parameters.has(key)) return std::nullopt;
    const double of_one = system.parameters.value(key);
    if (of_one <= 0) return std::nullopt;
    racks += pool.kept_chips() / of_one;
  }
  return racks;
}

std::string with_band(const CapacityReport& report, const std::string& key,
                      const std::optional<double>& value) {
  return number(value) + band_text(report.sensitivity, key, value);
}

std::int64_t chips_of(const RunResult& run) {
  std::int64_t chips = 0;
  for (const PoolUse& pool : run.pools) chips += pool.chips;
  return chips;
}

bool has_slo(const Scenario& scenario) {
  return scenario.slo.ttft_p99 || scenario.slo.tpot_p99;
}

struct Line {
  std::string label, cell;
};

std::string load_band_text(const LoadBand& band) {
  if (!band.low && !band.high) return "-";
  const auto users = [](const std::optional<double>& end) {
    return end ? fmt::format("{:.0f}", *end) : "-";
  };
  return fmt::format("[{}, {}]", users(band.low), users(band.high));
}

std::vector<Line> column_of(const CapacityReport& report) {
  const CapacityResult& c = report.capacity;
  const RunSummary s = summarise_run(report.scenario, c.run);
  const Accounting& a = report.accounting;
  const CapacityShares shares = capacity_shares(report);
  return {
      {"highest load within the SLO",
       report.scenario.name + (has_slo(report.scenario) ? "" : " (no SLO given)")},
      {"SLO, p99", slo_text(report.scenario.slo)},
      {"chips placed", fmt::format("{}", chips_of(c.run))},
      {"load", c.load > 0 ? fmt::format("{} {}", number(c.load), c.load_unit)
                          : std::string("none; below is the least tried")},
      {"load with latencies at the ends of their bands", load_band_text(report.load_band)},
      {"requests in that run", fmt::format("{}", c.run.requests.size())},
      {"lowest load tried that fails", c.next.load > 0 ? number(c.next.load) : "-"},
      {"output tokens/s", with_band(report, "output_tokens_per_s", s.output_tokens_per_s)},
      {"TTFT p50 / p99, ms",
       fmt::format("{} / {}", number(s.ttft_ms.p50), with_band(report, "ttft_ms", s.ttft_ms.p99))},
      {"TPOT p50 / p99, ms",
       fmt::format("{} / {}", number(s.tpot_ms.p50), with_band(report, "tpot_ms", s.tpot_ms.p99))},
      {"output tokens/s per user",
       with_band(report, "output_tokens_per_s_per_user", s.output_tokens_per_s_per_user)},
      {"output tokens/s per chip", number(shares.per_chip)},
      {"output tokens/s per USD/hour", number(shares.per_usd_per_hour)},
      {"output tokens/s per W", number(shares.per_w)},
      {"output tokens/s per rack", number(shares.per_rack)},
      {"J per output token",
       with_band(report, "energy_j_per_output_token", a.energy_j_per_output_token)},
      {"USD per M output tokens",
       with_band(report, "usd_per_m_output_tokens", a.usd_per_m_output_tokens)},
      {"USD per M tokens, both",
       with_band(report, "usd_per_m_total_tokens", a.usd_per_m_total_tokens)},
      {"output tokens/s per MW", with_band(report, "tokens_per_s_per_mw", a.tokens_per_s_per_mw)},
      {"utilisation", fmt::format("{:.0f} %", 100 * s.utilisation)},
      {"limited by", c.limit},
      {"busiest part", c.bottleneck},
      {"in brackets", "90 % band"}};
}

std::string curve_text(const CapacityReport& report) {
  if (report.capacity.curve.empty()) return "";
  std::vector<TableRow> rows = {{report.capacity.load_unit, "tokens/s", "tokens/s/chip",
                                 "tokens/s/user", "TTFT p99 ms", "TPOT p99 ms", "utilisation",
                                 "holds"}};
  for (const LoadPoint& point : report.capacity.curve) {
    rows.push_back({number(point.load), number(point.output_tokens_per_s),
                    number(point.output_tokens_per_s_per_chip),
                    number(point.output_tokens_per_s_per_user), number(point.ttft_ms.p99),
                    number(point.tpot_ms.p99), fmt::format("{:.0f} %", 100 * point.utilisation),
                    point.holds() ? "yes" : "no"});
  }
  return fmt::format("\n{}\n{}", report.scenario.name, table(rows));
}

/// "llama8b_gpu: warning: ...", a line each, and what is not known of the band of the load.
std::string warnings_text(const CapacityReport& report) {
  std::string text;
  if (!report.load_band.note.empty()) {
    text +=
        fmt::format("\n{}: band of the load: {}\n", report.scenario.name, report.load_band.note);
  }
  for (const std::string& warning : report.capacity.warnings) {
    text += fmt::format("\n{}: warning: {}\n", report.scenario.name, warning);
  }
  return text;
}

Json load_json(const LoadPoint& point) {
  return {{"load", point.load},
          {"output_tokens_per_s", point.output_tokens_per_s},
          {"output_tokens_per_s_per_chip", point.output_tokens_per_s_per_chip},
          {"output_tokens_per_s_per_user", point.output_tokens_per_s_per_user},
          {"ttft_ms", distribution(point.ttft_ms)},
          {"tpot_ms", distribution(point.tpot_ms)},
          {"utilisation", point.utilisation},
          {"saturated", point.saturated},
          {"meets_slo", point.meets_slo}};
}

Json load_band_json(const LoadBand& band) {
  if (!band.low && !band.high) return nullptr;
  return Json::array({optional_number(band.low), optional_number(band.high)});
}

Json shares_json(const CapacityShares& shares) {
  return {{"chip", shares.per_chip},
          {"usd_per_hour", optional_number(shares.per_usd_per_hour)},
          {"w", optional_number(shares.per_w)},
          {"rack", optional_number(shares.per_rack)}};
}

}  // namespace

CapacityShares capacity_shares(const CapacityReport& report) {
  const RunResult& run = report.capacity.run;
  const double rate = summarise_run(report.scenario, run).output_tokens_per_s;
  const auto over = [&](const std::optional<double>& amount) -> std::optional<double> {
    if (!amount || *amount <= 0) return std::nullopt;
    return rate / *amount;
  };
  return {rate / static_cast<double>(chips_of(run)), over(report.accounting.usd_per_hour_used),
          over(report.accounting.average_power_w), over(racks_of(report.scenario.system, run))};
}

std::string capacity_page(const std::vector<CapacityReport>& reports) {
  std::vector<TableRow> rows;
  for (const CapacityReport& report : reports) {
    const std::vector<Line> column = column_of(report);
    rows.resize(column.size());
    for (std::size_t i = 0; i < column.size(); ++i) {
      if (rows[i].empty()) rows[i].push_back(column[i].label);
      rows[i].push_back(column[i].cell);
    }
  }
  std::string text = table(rows);
  for (const CapacityReport& report : reports) text += warnings_text(report);
  for (const CapacityReport& report : reports) text += curve_text(report);
  return text;
}

std::string capacity_json(const std::vector<CapacityReport>& reports) {
  Json systems = Json::array();
  for (const CapacityReport& report : reports) {
    const CapacityResult& c = report.capacity;
    Json curve = Json::array();
    for (const LoadPoint& point : c.curve) curve.push_back(load_json(point));
    systems.push_back(
        {{"scenario", report.scenario.name},
         {"load", c.load},
         {"load_band", load_band_json(report.load_band)},
         {"load_band_note",
          report.load_band.note.empty() ? Json(nullptr) : Json(report.load_band.note)},
         {"load_unit", c.load_unit},
         {"tolerance", c.tolerance},
         {"limit", c.limit},
         {"warnings", c.warnings},
         {"bottleneck", c.bottleneck},
         {"per", shares_json(capacity_shares(report))},
         {"next", c.next.load > 0 ? load_json(c.next) : Json(nullptr)},
         {"curve", curve},
         {"result",
          result_object({report.scenario, c.run, report.accounting, report.sensitivity}, true)}});
  }
  return text_of(Json{{"systems", systems}});
}

std::string capacity_csv(const std::vector<CapacityReport>& reports) {
  std::string text =
      "scenario,load,load_unit,output_tokens_per_s,output_tokens_per_s_per_chip,"
      "output_tokens_per_s_per_user,ttft_p50_ms,ttft_p99_ms,tpot_p50_ms,tpot_p99_ms,utilisation,"
      "meets_slo,saturated\n";
  for (const CapacityReport& report : reports) {
    for (const LoadPoint& p : report.capacity.curve) {
      text += fmt::format(
          "{},{:.6f},{},{:.3f},{:.6f},{:.6f},{:.6f},{:.6f},{:.6f},{:.6f},{:.6f},{},{}\n",
          report.scenario.name, p.load, report.capacity.load_unit, p.output_tokens_per_s,
          p.output_tokens_per_s_per_chip, p.output_tokens_per_s_per_user, p.ttft_ms.p50,
          p.ttft_ms.p99, p.tpot_ms.p50, p.tpot_ms.p99, p.utilisation, p.meets_slo, p.saturated);
    }
  }
  return text;
}

}  // namespace tandem
