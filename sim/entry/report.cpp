#include "sim/entry/report.hpp"

#include <fmt/format.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string_view>
#include <vector>

#include "sim/core/diagnostics.hpp"
#include "sim/entry/context.hpp"
#include "sim/entry/report_page.hpp"
#include "sim/entry/sweep_reader.hpp"

namespace tandem::entry {
namespace {

using Json = nlohmann::ordered_json;
namespace fs = std::filesystem;

/// Where plotly.js may be: named by the user, installed beside the configurations, as Debian's
/// python3-plotly has it, or as it was found when this was built.
std::string plotly_source() {
  const char* named = std::getenv("TANDEM_PLOTLY");
  if (named != nullptr && *named != '\0') return read_file(named);
  std::error_code failure;
  const fs::path executable = fs::read_symlink("/proc/self/exe", failure);
  const char* home = std::getenv("TANDEM_HOME");
  const std::array<fs::path, 5> candidates{
      fs::path(home == nullptr ? "" : home) / "plotly.js",
      executable.parent_path().parent_path() / "share/tandem/plotly.js",
      fs::path(TANDEM_INSTALL_HOME) / "plotly.js", fs::path(TANDEM_PLOTLY_FILE),
      fs::path("/usr/share/python3-plotly/plotly.js")};
  for (const fs::path& candidate : candidates) {
    if (fs::is_regular_file(candidate, failure)) return read_file(candidate.string());
  }
  throw ConfigError(
      "plotly.js is not found; install python3-plotly, or set TANDEM_PLOTLY to the file");
}

/// Script text that cannot end its own element.
std::string inlined(std::string script) {
  for (std::size_t place = 0; (place = script.find("</script", place)) != std::string::npos;) {
    script.replace(place, 2, "<\\/");
    place += 3;
  }
  return script;
}

/// JSON text without '<', so that no string in it can end the element or open a comment.
std::string guarded(const std::string& json) {
  std::string out;
  out.reserve(json.size());
  for (const char c : json) {
    if (c == '<') {
      out += "\\u003c";
    } else {
      out += c;
    }
  }
  return out;
}

/// The page's text with `slot` replaced once.
std::string filled(const std::string& page, std::string_view slot, const std::string& content) {
  const std::size_t place = page.find(slot);
  if (place == std::string::npos) throw std::logic_error("the report page lacks a slot");
  return page.substr(0, place) + content + page.substr(place + slot.size());
}

bool is_result(const Json& json) {
  return json.is_object() && json.contains("summary") && json.contains("scenario");
}

bool is_capacity(const Json& json) {
  if (!json.is_object() || !json.contains("systems") || !json["systems"].is_array()) return false;
  for (const Json& system : json["systems"]) {
    const bool is_load = system.contains("result") && is_result(system["result"]);
    const bool is_map = system.contains("rows") && system["rows"].is_array();
    if (!is_load && !is_map) return false;
  }
  return !json["systems"].empty();
}

/// What the page shows of one point; the rest of a thousand results would only make it slow.
Json shown_parts(const Json& result) {
  Json kept = result;
  for (const char* key : {"intervals", "links", "run"}) kept.erase(key);
  return kept;
}

ReportData sweep_data(const std::string& path) {
  Json points = Json::array();
  for (const PointResult& row : read_points(path)) {
    Json point{{"point", row.point},   {"overrides", row.overrides}, {"changes", Json::array()},
               {"status", row.status}, {"error", row.error},         {"violated", row.violated},
               {"result", nullptr}};
    for (const auto& change : row.changes) {
      point["changes"].push_back({change.first, change.second});
    }
    if (!row.result.empty()) point["result"] = shown_parts(Json::parse(row.result));
    points.push_back(point);
  }
  if (points.empty()) throw ConfigError(fmt::format("{}: the database has no points", path));
  return {Json{{"name", fs::path(path).stem().string()}, {"points", points}}.dump()};
}

}  // namespace

ReportData report_data_of(const std::string& json, const std::string& name) {
  const Json data = Json::parse(json, nullptr, false);
  if (data.is_discarded()) throw ConfigError(fmt::format("{} is not JSON", name));
  if (!is_result(data) && !is_capacity(data)) {
    throw ConfigError(fmt::format(
        "{} is no result; give the file of 'tandem run --json', of 'tandem capacity --json', or "
        "the database of 'tandem sweep'",
        name));
  }
  return {data.dump()};
}

ReportData read_report_data(const std::string& path) {
  const std::string text = read_file(path);
  constexpr std::string_view database_mark = "SQLite format 3";
  if (text.starts_with(database_mark)) return sweep_data(path);
  return report_data_of(text, path);
}

std::string report_html(const ReportData& data) {
  const std::string with_data = filled(report_page, "@DATA@", guarded(data.json));
  // The data may hold the text of the other slot; the last one is the page's.
  const std::size_t place = with_data.rfind("@PLOTLY@");
  return with_data.substr(0, place) + inlined(plotly_source()) +
         with_data.substr(place + std::string_view("@PLOTLY@").size());
}

}  // namespace tandem::entry
