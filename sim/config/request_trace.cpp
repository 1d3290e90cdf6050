#include "sim/config/request_trace.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "sim/config/csv.hpp"

namespace tandem::config {
namespace {

using Json = nlohmann::json;

constexpr std::int64_t most_tokens = 1'000'000'000;

/// A request as its file has it: arrivals count from whatever the file counts from.
struct TraceRow {
  std::int64_t arrival_ns = 0;
  std::int64_t prompt = 0;
  std::int64_t output = 0;
  std::vector<std::int64_t> prefix;
  std::int64_t priority = 0;
  std::string session;
};

std::optional<double> number_in(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<std::int64_t> nanoseconds(double value, double seconds_per_unit) {
  const double ns = value * seconds_per_unit * 1e9;
  if (!(std::fabs(ns) < 9e18)) return std::nullopt;
  return std::llround(ns);
}

/// "2023-11-16 18:15:46.6805900", with a space or a T; behind it Z or +00:00 or nothing.
std::optional<std::int64_t> date_nanoseconds(std::string_view text) {
  constexpr std::size_t to_seconds_end = 19;
  for (const std::string_view zone : {"Z", "+00:00"}) {
    if (text.ends_with(zone)) text.remove_suffix(zone.size());
  }
  if (text.size() < to_seconds_end) return std::nullopt;
  const auto part = [&](std::size_t at, std::size_t length) -> std::int64_t {
    std::int64_t value = -1;
    const char* end = text.data() + at + length;
    const auto result = std::from_chars(text.data() + at, end, value);
    return result.ec == std::errc() && result.ptr == end ? value : -1;
  };
  const bool has_marks = text[4] == '-' && text[7] == '-' && (text[10] == ' ' || text[10] == 'T') &&
                         text[13] == ':' && text[16] == ':';
  const std::chrono::year_month_day day{std::chrono::year(static_cast<int>(part(0, 4))),
                                        std::chrono::month(static_cast<unsigned>(part(5, 2))),
                                        std::chrono::day(static_cast<unsigned>(part(8, 2)))};
  const std::int64_t hour = part(11, 2), minute = part(14, 2), second = part(17, 2);
  if (!has_marks || !day.ok() || hour < 0 || minute < 0 || second < 0) return std::nullopt;
  const std::int64_t days = std::chrono::sys_days(day).time_since_epoch().count();
  const std::int64_t seconds = ((days * 24 + hour) * 60 + minute) * 60 + second;
  double fraction = 0;
  if (text.size() > to_seconds_end) {
    const auto read = number_in("0" + std::string(text.substr(to_seconds_end)));
    if (text[to_seconds_end] != '.' || !read) return std::nullopt;
    fraction = *read;
  }
  return seconds * 1'000'000'000 + std::llround(fraction * 1e9);
}

/// What a column must hold; complaints say what to write.
class RowChecks {
 public:
  RowChecks(const TraceColumns& columns, Problems& problems)
      : columns_(columns), problems_(problems) {}

  std::int64_t arrival(const std::string& text, const SourcePlace& place) const {
    std::optional<std::int64_t> ns;
    if (const auto number = number_in(text)) {
      ns = nanoseconds(*number, columns_.seconds_per_unit);
    } else {
      ns = date_nanoseconds(text);
    }
    if (!ns) {
      problems_.report(place, fmt::format("arrival is '{}'; write a number, or a date and time as "
                                          "2023-11-16 18:15:46.68",
                                          text));
    }
    return ns.value_or(0);
  }

  std::int64_t priority(const std::string& text, const SourcePlace& place) const {
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size()) {
      problems_.report(place, fmt::format("priority is '{}'; must be a whole number", text));
    }
    return value;
  }

  std::int64_t tokens(const std::string& text, const std::string& column, std::int64_t least,
                      const SourcePlace& place) const {
    const std::optional<double> number = number_in(text);
    const bool is_good = number && *number == std::floor(*number) &&
                         *number >= static_cast<double>(least) &&
                         *number <= static_cast<double>(most_tokens);
    if (!is_good) {
      problems_.report(place, fmt::format("{} is '{}'; must be a whole number of tokens from {}",
                                          column, text, least));
      return 1;
    }
    return static_cast<std::int64_t>(*number);
  }

 private:
  const TraceColumns& columns_;
  Problems& problems_;
};

std::vector<std::int64_t> ids_in(const std::string& text, const SourcePlace& place,
                                 Problems& problems) {
  std::vector<std::int64_t> ids;
  std::istringstream words(text);
  for (std::string word; words >> word;) {
    std::int64_t id = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), id);
    if (error != std::errc() || end != word.data() + word.size()) {
      problems.report(place,
                      fmt::format("'{}' is no id of a block; write whole numbers with spaces "
                                  "between them",
                                  word));
    }
    ids.push_back(id);
  }
  return ids;
}

std::vector<TraceRow> rows_of_table(const std::string& path, const std::string& text,
                                    const TraceColumns& columns, Problems& problems) {
  std::vector<TraceRow> rows;
  const CsvTable table(path, text);
  const auto column = [&](const std::string& name) -> std::size_t {
    if (const auto found = table.find(name)) return *found;
    problems.report(table.header_place(),
                    fmt::format("no column '{}'{}; name the columns in the trace's description",
                                name, suggestion(name, table.header())));
    return 0;
  };
  const std::size_t before = problems.size();
  const std::size_t arrival = column(columns.arrival), prompt = column(columns.prompt),
                    output = column(columns.output);
  const std::size_t prefix = columns.prefix.empty() ? 0 : column(columns.prefix);
  const std::size_t priority = columns.priority.empty() ? 0 : column(columns.priority);
  const std::size_t session = columns.session.empty() ? 0 : column(columns.session);
  if (problems.size() != before) return rows;
  const RowChecks checks(columns, problems);
  for (std::size_t i = 0; i < table.rows(); ++i) {
    TraceRow row;
    row.arrival_ns = checks.arrival(table.cell(i, arrival), table.place(i, arrival));
    row.prompt = checks.tokens(table.cell(i, prompt), columns.prompt, 1, table.place(i, prompt));
    row.output = checks.tokens(table.cell(i, output), columns.output, 0, table.place(i, output));
    if (!columns.prefix.empty()) {
      row.prefix = ids_in(table.cell(i, prefix), table.place(i, prefix), problems);
    }
    if (!columns.priority.empty()) {
      row.priority = checks.priority(table.cell(i, priority), table.place(i, priority));
    }
    if (!columns.session.empty()) row.session = table.cell(i, session);
    rows.push_back(std::move(row));
  }
  return rows;
}

std::string text_of(const Json& value) {
  return value.is_string() ? value.get<std::string>() : value.dump();
}

std::optional<TraceRow> row_of_object(const Json& object, const TraceColumns& columns,
                                      const SourcePlace& place, Problems& problems) {
  const std::size_t before = problems.size();
  const auto text = [&](const std::string& key) -> std::string {
    if (object.contains(key)) return text_of(object.at(key));
    problems.report(place,
                    fmt::format("no key '{}'; name the keys in the trace's description", key));
    return "1";
  };
  const RowChecks checks(columns, problems);
  TraceRow row;
  row.arrival_ns = checks.arrival(text(columns.arrival), place);
  row.prompt = checks.tokens(text(columns.prompt), columns.prompt, 1, place);
  row.output = checks.tokens(text(columns.output), columns.output, 0, place);
  if (!columns.priority.empty()) row.priority = checks.priority(text(columns.priority), place);
  if (!columns.session.empty()) row.session = text(columns.session);
  if (!columns.prefix.empty() && object.contains(columns.prefix)) {
    for (const Json& id : object.at(columns.prefix)) {
      if (id.is_number_integer()) {
        row.prefix.push_back(id.get<std::int64_t>());
      } else {
        problems.report(place, fmt::format("'{}' holds {}; must be a list of whole numbers",
                                           columns.prefix, id.dump()));
      }
    }
  }
  return problems.size() == before ? std::optional(std::move(row)) : std::nullopt;
}

std::vector<TraceRow> rows_of_lines(const std::string& path, const std::string& text,
                                    const TraceColumns& columns, Problems& problems) {
  std::vector<TraceRow> rows;
  bool has_prefixes = columns.prefix.empty();
  std::istringstream lines(text);
  int number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    try {
      const Json object = Json::parse(line);
      if (!object.is_object()) {
        problems.report({path, number, 1}, "a line must be one object: {\"key\": value, ...}");
        continue;
      }
      has_prefixes = has_prefixes || object.contains(columns.prefix);
      if (auto row = row_of_object(object, columns, {path, number, 1}, problems)) {
        rows.push_back(std::move(*row));
      }
    } catch (const Json::parse_error& error) {
      problems.report({path, number, static_cast<int>(error.byte)},
                      "not valid JSON; every line must be one object");
    }
  }
  if (!has_prefixes && !rows.empty()) {
    problems.report({path, 1, 1},
                    fmt::format("no line has the key '{}'; name the keys in the trace's "
                                "description",
                                columns.prefix));
  }
  return rows;
}

std::vector<SharedPart> parts_of(const TraceRow& row, std::int64_t block_tokens) {
  std::vector<SharedPart> parts;
  std::int64_t end = 0;
  for (const std::int64_t id : row.prefix) {
    end = std::min(end + block_tokens, row.prompt);
    if (!parts.empty() && parts.back().end == end) break;
    parts.push_back({id, end});
  }
  return parts;
}

/// -1 where a row names no session.
std::int64_t number_of(const std::string& session, std::map<std::string, std::int64_t>& numbers) {
  if (session.empty()) return -1;
  return numbers.emplace(session, std::ssize(numbers)).first->second;
}

bool is_table(const std::string& path) {
  const std::string ending = ".csv";
  return path.size() >= ending.size() &&
         path.compare(path.size() - ending.size(), ending.size(), ending) == 0;
}

}  // namespace

TraceColumns trace_columns_of(const std::string& format) {
  TraceColumns columns;
  if (format == "azure") {
    columns.arrival = "TIMESTAMP";
    columns.prompt = "ContextTokens";
    columns.output = "GeneratedTokens";
    return columns;
  }
  constexpr double millisecond = 1e-3;
  columns.arrival = "timestamp";
  columns.seconds_per_unit = millisecond;
  columns.prompt = "input_length";
  columns.output = "output_length";
  columns.prefix = "hash_ids";
  return columns;
}

RequestTrace read_trace(const std::string& path, const TraceColumns& columns,
                        const SourcePlace& user, Problems& problems) {
  RequestTrace trace;
  trace.file = path;
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  if (!file.is_open()) {
    problems.report(user, fmt::format("cannot read the trace '{}'; paths start at the folder of "
                                      "the file that names them",
                                      path));
    return trace;
  }
  const std::size_t before = problems.size();
  std::vector<TraceRow> rows;
  try {
    rows = is_table(path) ? rows_of_table(path, text.str(), columns, problems)
                          : rows_of_lines(path, text.str(), columns, problems);
  } catch (const ConfigError& error) {
    problems.report(error);
  }
  if (rows.empty() && problems.size() == before) {
    problems.report(user, fmt::format("the trace '{}' has no request", path));
  }
  std::stable_sort(rows.begin(), rows.end(), [](const TraceRow& a, const TraceRow& b) {
    return a.arrival_ns < b.arrival_ns;
  });
  constexpr std::int64_t longest_ns = 100LL * 24 * 3600 * 1'000'000'000;
  if (!rows.empty() && rows.back().arrival_ns - rows.front().arrival_ns > longest_ns) {
    problems.report(user,
                    fmt::format("the trace '{}' takes more than 100 days; is its unit of time "
                                "right?",
                                path));
    return trace;
  }
  std::map<std::string, std::int64_t> sessions;  // numbered as they come
  for (const TraceRow& row : rows) {
    constexpr std::int64_t picoseconds_per_nanosecond = 1000;
    const std::int64_t after = row.arrival_ns - rows.front().arrival_ns;
    trace.requests.push_back({Picoseconds(after * picoseconds_per_nanosecond), row.prompt,
                              std::max<std::int64_t>(1, row.output),
                              parts_of(row, columns.prefix_block_tokens), row.priority,
                              number_of(row.session, sessions)});
  }
  return trace;
}

}  // namespace tandem::config
