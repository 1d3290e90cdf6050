// Results as one HTML page that needs nothing beside itself.
#pragma once

#include <string>

namespace tandem::entry {

/// What a report shows, as JSON: the object of `tandem run` or `tandem capacity` as it is; of a
/// sweep {name, points: [{point, overrides, status, error, result}]}.
struct ReportData {
  std::string json;
};

/// Reads the JSON file of a run or capacity search, or the database of a sweep. Throws ConfigError
/// that says what the file is not.
[[nodiscard]] ReportData read_report_data(const std::string& path);

/// The page. `json` is text of a result; `name` stands in errors. Throws ConfigError when it is no
/// result, and where Plotly is not installed.
[[nodiscard]] std::string report_html(const ReportData& data);

/// Checks that a text is the result of a run or of a capacity search.
[[nodiscard]] ReportData report_data_of(const std::string& json, const std::string& name);

}  // namespace tandem::entry
