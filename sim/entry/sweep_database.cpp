#include "sim/entry/sweep_database.hpp"

#include <fmt/format.h>
#include <sqlite3.h>

#include <nlohmann/json.hpp>

#include "sim/core/diagnostics.hpp"

namespace tandem::entry {
namespace {

using Json = nlohmann::ordered_json;

/// A prepared statement that finalises itself.
class Statement {
 public:
  Statement(sqlite3* database, const std::string& sql) : database_(database) {
    if (sqlite3_prepare_v2(database, sql.c_str(), -1, &statement_, nullptr) != SQLITE_OK) {
      throw ConfigError(fmt::format("sweep database: {}", sqlite3_errmsg(database)));
    }
  }
  ~Statement() { sqlite3_finalize(statement_); }
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;
  void bind(int index, const std::string& text) {
    sqlite3_bind_text(statement_, index, text.c_str(), -1, SQLITE_TRANSIENT);
  }
  void bind(int index, std::int64_t value) { sqlite3_bind_int64(statement_, index, value); }
  void bind(int index, double value) { sqlite3_bind_double(statement_, index, value); }
  bool step() {
    const int code = sqlite3_step(statement_);
    if (code != SQLITE_ROW && code != SQLITE_DONE) {
      throw ConfigError(fmt::format("sweep database: {}", sqlite3_errmsg(database_)));
    }
    return code == SQLITE_ROW;
  }
  [[nodiscard]] std::int64_t integer(int column) const {
    return sqlite3_column_int64(statement_, column);
  }
  [[nodiscard]] std::string text(int column) const {
    const unsigned char* text = sqlite3_column_text(statement_, column);
    return text == nullptr ? "" : reinterpret_cast<const char*>(text);
  }

 private:
  sqlite3* database_;
  sqlite3_stmt* statement_ = nullptr;
};

void flatten(const Json& value, const std::string& prefix,
             std::vector<std::pair<std::string, double>>& out) {
  for (const auto& [key, child] : value.items()) {
    const std::string name = prefix.empty() ? key : prefix + "_" + key;
    if (child.is_object()) {
      flatten(child, name, out);
    } else if (child.is_number()) {
      out.emplace_back(name, child.get<double>());
    }
  }
}

}  // namespace

void SweepDatabase::Closer::operator()(sqlite3* database) const {
  sqlite3_close(database);
}

SweepDatabase::SweepDatabase(const std::string& path, bool keep_existing) : path_(path) {
  sqlite3* raw = nullptr;
  const int code = sqlite3_open(path.c_str(), &raw);
  database_.reset(raw);
  if (code != SQLITE_OK) throw ConfigError(fmt::format("cannot open database '{}'", path));
  execute("PRAGMA locking_mode=EXCLUSIVE");
  execute("BEGIN EXCLUSIVE");
  if (!keep_existing) execute("DROP TABLE IF EXISTS points");
  execute(
      "CREATE TABLE IF NOT EXISTS points (point INTEGER PRIMARY KEY, config_hash TEXT, "
      "overrides TEXT, status TEXT, error TEXT, result TEXT)");
  execute("COMMIT");
}

void SweepDatabase::execute(const std::string& sql) {
  if (sqlite3_exec(database_.get(), sql.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK) {
    throw ConfigError(fmt::format("database '{}': {}", path_, sqlite3_errmsg(database_.get())));
  }
}

std::set<std::pair<std::int64_t, std::string>> SweepDatabase::finished() const {
  std::set<std::pair<std::int64_t, std::string>> done;
  Statement query(database_.get(),
                  "SELECT point, config_hash FROM points WHERE status = 'ok' ORDER BY point");
  while (query.step()) done.emplace(query.integer(0), query.text(1));
  return done;
}

void SweepDatabase::store(const PointResult& result) {
  const auto columns = result.result.empty() ? std::vector<std::pair<std::string, double>>{}
                                             : summary_columns(result.result);
  std::set<std::string> existing;
  Statement info(database_.get(), "PRAGMA table_info(points)");
  while (info.step()) existing.insert(info.text(1));
  for (const auto& [name, value] : columns) {
    if (existing.count(name) == 0) {
      execute(fmt::format("ALTER TABLE points ADD COLUMN \"{}\" REAL", name));
    }
  }
  std::string names = "point, config_hash, overrides, status, error, result";
  std::string marks = "?, ?, ?, ?, ?, ?";
  for (const auto& [name, value] : columns) {
    names += fmt::format(", \"{}\"", name);
    marks += ", ?";
  }
  Statement insert(database_.get(),
                   fmt::format("INSERT OR REPLACE INTO points ({}) VALUES ({})", names, marks));
  insert.bind(1, result.point);
  insert.bind(2, result.config_hash);
  insert.bind(3, result.overrides);
  insert.bind(4, result.status);
  insert.bind(5, result.error);
  insert.bind(6, result.result);
  int index = 7;
  for (const auto& [name, value] : columns) insert.bind(index++, value);
  insert.step();
}

std::vector<std::pair<std::string, double>> summary_columns(const std::string& result_json) {
  std::vector<std::pair<std::string, double>> columns;
  const Json json = Json::parse(result_json);
  if (json.contains("summary")) flatten(json["summary"], "", columns);
  return columns;
}

}  // namespace tandem::entry
