#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "sim/entry/validation/validation.hpp"

namespace tandem::entry {
namespace {

using Line = std::vector<std::string>;

std::string percent(const std::optional<double>& value) {
  return value ? fmt::format("{:.1f}", *value) : "-";
}

/// Columns as wide as their widest cell; the first `texts` to the left, numbers to the right.
std::string aligned(const std::vector<Line>& lines, std::size_t texts) {
  std::vector<std::size_t> widths(lines.front().size());
  for (const Line& line : lines) {
    for (std::size_t c = 0; c < line.size(); ++c) widths[c] = std::max(widths[c], line[c].size());
  }
  std::string page;
  for (const Line& line : lines) {
    std::string text;
    for (std::size_t c = 0; c < line.size(); ++c) {
      text += c < texts ? fmt::format("{:<{}}  ", line[c], widths[c])
                        : fmt::format("{:>{}}  ", line[c], widths[c]);
    }
    while (!text.empty() && text.back() == ' ') text.pop_back();
    page += text + '\n';
  }
  return page;
}

const Line& figure_names() {
  static const Line names = {"rows",  "predicted", "MAPE %",     "median %",
                             "p90 %", "bias %",    "roofline %", "cycle/floor"};
  return names;
}

void append_figures(Line& line, const ErrorFigures& figures) {
  line.push_back(std::to_string(figures.rows));
  line.push_back(std::to_string(figures.predicted_rows));
  line.push_back(percent(figures.mape));
  line.push_back(percent(figures.median));
  line.push_back(percent(figures.p90));
  line.push_back(figures.bias ? fmt::format("{:+.1f}", *figures.bias) : "-");
  line.push_back(percent(figures.baseline_mape));
  line.push_back(figures.floor_ratio ? fmt::format("{:.2f}", *figures.floor_ratio) : "-");
}

std::string entries_table(const ValidationAnswer& answer) {
  std::vector<Line> lines{{"table", "op", "chip", "type", "metric", "layer"}};
  lines.front().insert(lines.front().end(), figure_names().begin(), figure_names().end());
  for (const ValidationEntry& entry : answer.entries) {
    if (entry.figures.predicted_rows == 0) continue;  // named below
    Line line = {entry.table.empty() ? entry.file : entry.table,
                 entry.op,
                 entry.chip,
                 entry.dtype.empty() ? "-" : entry.dtype,
                 entry.metric,
                 entry.layer.empty() ? "-" : entry.layer};
    append_figures(line, entry.figures);
    lines.push_back(std::move(line));
  }
  return lines.size() == 1 ? "no row was predicted\n" : aligned(lines, 6);
}

std::string summaries_table(const ValidationAnswer& answer) {
  std::vector<Line> lines{{"op", "chip"}};
  lines.front().insert(lines.front().end(), figure_names().begin(), figure_names().end());
  for (const ValidationSummary& summary : answer.summaries) {
    if (summary.figures.predicted_rows == 0) continue;
    Line line = {summary.op, summary.chip};
    append_figures(line, summary.figures);
    lines.push_back(std::move(line));
  }
  return lines.size() == 1 ? std::string{} : "\nLatency by operator and chip\n" + aligned(lines, 2);
}

/// Rows without a prediction by reason, most first, with the tables they are in.
std::string not_predicted(const ValidationAnswer& answer) {
  struct Share {
    std::int64_t rows = 0;
    std::vector<std::string> tables;
  };
  std::map<std::string, Share> reasons;
  for (const ValidationEntry& entry : answer.entries) {
    const std::string& name = entry.table.empty() ? entry.file : entry.table;
    for (const auto& [reason, rows] : entry.not_predicted) {
      Share& share = reasons[reason];
      share.rows += rows;
      if (share.tables.empty() || share.tables.back() != name) share.tables.push_back(name);
    }
  }
  if (reasons.empty()) return {};
  std::vector<std::pair<std::string, Share>> sorted(reasons.begin(), reasons.end());
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const auto& a, const auto& b) { return a.second.rows > b.second.rows; });
  std::string page = "\nNot predicted\n";
  for (const auto& [reason, share] : sorted) {
    page += fmt::format("{:>8} rows  {}\n{:>15}{}\n", share.rows, reason, "",
                        fmt::join(share.tables, ", "));
  }
  return page;
}

nlohmann::ordered_json number_or_null(const std::optional<double>& value) {
  return value ? nlohmann::ordered_json(*value) : nlohmann::ordered_json(nullptr);
}

nlohmann::ordered_json text_or_null(const std::string& text) {
  return text.empty() ? nlohmann::ordered_json(nullptr) : nlohmann::ordered_json(text);
}

}  // namespace

std::string validation_page(const ValidationAnswer& answer) {
  std::string page = entries_table(answer) + summaries_table(answer) + not_predicted(answer);
  for (const Diagnostic& note : answer.notes) {
    page += fmt::format("note: {}:{}: {}\n", note.place.file, note.place.line, note.message);
  }
  return page;
}

std::string validation_json(const ValidationAnswer& answer) {
  nlohmann::ordered_json tables = nlohmann::ordered_json::array();
  for (const ValidationEntry& entry : answer.entries) {
    const ErrorFigures& figures = entry.figures;
    nlohmann::ordered_json missing = nlohmann::ordered_json::object();
    for (const auto& [reason, rows] : entry.not_predicted) missing[reason] = rows;
    tables.push_back({{"file", entry.file},
                      {"table", text_or_null(entry.table)},
                      {"op", entry.op},
                      {"chip", entry.chip},
                      {"dtype", text_or_null(entry.dtype)},
                      {"software", text_or_null(entry.software)},
                      {"software_layer", text_or_null(entry.layer)},
                      {"metric", entry.metric},
                      {"table_rows", entry.table_rows},
                      {"rows", figures.rows},
                      {"predicted_rows", figures.predicted_rows},
                      {"mape_percent", number_or_null(figures.mape)},
                      {"median_ape_percent", number_or_null(figures.median)},
                      {"p90_ape_percent", number_or_null(figures.p90)},
                      {"bias_percent", number_or_null(figures.bias)},
                      {"baseline_mape_percent", number_or_null(figures.baseline_mape)},
                      {"median_cycle_over_floor", number_or_null(figures.floor_ratio)},
                      {"mean_skipped_share", number_or_null(figures.skipped)},
                      {"not_predicted", missing}});
  }
  return nlohmann::ordered_json{{"tables", tables}}.dump(1) + "\n";
}

}  // namespace tandem::entry
