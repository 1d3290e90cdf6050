#include "sim/report/map_report.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "sim/report/table_text.hpp"
#include "sim/report/timelines_json.hpp"

namespace tandem {
namespace {

using Json = nlohmann::ordered_json;

Json cell_json(const MapCell& cell) {
  const auto figure = [&](double value) { return cell.fits ? Json(value) : Json(nullptr); };
  return {{"users", cell.users},
          {"fits", cell.fits},
          {"bound", cell.bound},
          {"tpot_ms", figure(cell.tpot_ms)},
          {"output_tokens_per_s_per_user", figure(cell.output_tokens_per_s_per_user)},
          {"output_tokens_per_s", figure(cell.output_tokens_per_s)}};
}

Json row_json(const MapRow& row) {
  Json cells = Json::array();
  for (const MapCell& cell : row.cells) cells.push_back(cell_json(cell));
  return {{"context_tokens", row.context_tokens},
          {"most_users", row.most_users},
          {"limit", row.limit},
          {"problem", row.problem.empty() ? Json(nullptr) : Json(row.problem)},
          {"cells", cells}};
}

std::string map_text(const MapReport& report) {
  TableRow head = {"context", "users that fit", "limit"};
  for (const std::int64_t users : report.map.users) head.push_back(fmt::format("{} users", users));
  std::vector<TableRow> rows = {head};
  for (const MapRow& row : report.map.rows) {
    TableRow line = {fmt::format("{}", row.context_tokens), fmt::format("{}", row.most_users),
                     row.limit};
    for (const MapCell& cell : row.cells) {
      line.push_back(
          cell.fits ? fmt::format("{} {}", number(cell.output_tokens_per_s_per_user), cell.bound)
                    : std::string("-"));
    }
    rows.push_back(line);
  }
  return fmt::format("{}: output tokens/s per user and what bounds the step; - does not fit\n{}",
                     report.scenario.name, table(rows));
}

}  // namespace

std::string map_page(const std::vector<MapReport>& reports) {
  std::string text;
  for (const MapReport& report : reports) {
    text += (text.empty() ? "" : "\n") + map_text(report);
  }
  return text;
}

std::string map_json(const std::vector<MapReport>& reports) {
  Json systems = Json::array();
  for (const MapReport& report : reports) {
    Json rows = Json::array();
    for (const MapRow& row : report.map.rows) rows.push_back(row_json(row));
    systems.push_back({{"scenario", report.scenario.name}, {"rows", rows}});
  }
  return text_of(Json{{"systems", systems}});
}

}  // namespace tandem
