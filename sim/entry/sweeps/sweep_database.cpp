#include "sim/entry/sweeps/sweep_database.hpp"

#include <fmt/format.h>
#include <sqlite3.h>

#include <set>

#include "sim/core/diagnostics.hpp"
#include "sim/entry/sweeps/sweep_figures.hpp"

namespace tandem::entry {
namespace {

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

/// Of the figures, then of the ends of their bands.
std::vector<std::string> figure_columns() {
  std::vector<std::string> columns;
  for (const std::string& figure : known_figures()) columns.push_back(column_of(figure));
  for (const std::string& figure : banded_figures()) {
    columns.push_back(column_of(figure) + "_low");
    columns.push_back(column_of(figure) + "_high");
  }
  return columns;
}

}  // namespace

void SweepDatabase::Closer::operator()(sqlite3* database) const {
  sqlite3_close(database);
}

SweepDatabase::SweepDatabase(const std::string& path, ExistingPoints existing) : path_(path) {
  sqlite3* raw = nullptr;
  const int code = sqlite3_open(path.c_str(), &raw);
  database_.reset(raw);
  if (code != SQLITE_OK) throw ConfigError(fmt::format("cannot open database '{}'", path));
  execute("PRAGMA locking_mode=EXCLUSIVE");
  // With a log written ahead a row costs no wait for the disk, and no end of the process harms it.
  execute("PRAGMA journal_mode=WAL");
  execute("PRAGMA synchronous=NORMAL");
  execute("BEGIN EXCLUSIVE");
  const std::int64_t found = existing == ExistingPoints::Refuse ? count_points() : 0;
  if (found > 0) {
    throw ConfigError(
        fmt::format("database '{}' has {} points of an earlier run; keep those that are finished "
                    "(sweeps: --resume, resume=True), write it anew (--force, force=True), or "
                    "choose another name",
                    path, found));
  }
  if (existing != ExistingPoints::Keep) {
    execute(
        "DROP TABLE IF EXISTS points; DROP TABLE IF EXISTS changes; DROP TABLE IF EXISTS tornado");
  }
  execute(
      "CREATE TABLE IF NOT EXISTS points (point INTEGER PRIMARY KEY, config_hash TEXT, "
      "overrides TEXT, status TEXT, error TEXT, result TEXT, violated TEXT, question TEXT, "
      "audit_steps INTEGER)");
  execute(
      "CREATE TABLE IF NOT EXISTS changes (point INTEGER, path TEXT, value TEXT, number REAL, "
      "PRIMARY KEY (point, path))");
  add_missing_columns();
  execute("COMMIT");
  std::string names =
      "point, config_hash, overrides, status, error, result, violated, question, audit_steps";
  std::string marks = "?, ?, ?, ?, ?, ?, ?, ?, ?";
  for (const std::string& column : figure_columns()) {
    names += fmt::format(", \"{}\"", column);
    marks += ", ?";
  }
  insert_ = fmt::format("INSERT OR REPLACE INTO points ({}) VALUES ({})", names, marks);
}

// Without the log the file is one that can be read where nothing may be written.
SweepDatabase::~SweepDatabase() {
  sqlite3_exec(database_.get(), "PRAGMA journal_mode=DELETE", nullptr, nullptr, nullptr);
}

void SweepDatabase::add_missing_columns() {
  std::set<std::string> existing;
  {
    Statement info(database_.get(), "PRAGMA table_info(points)");
    while (info.step()) existing.insert(info.text(1));
  }
  for (const char* column : {"violated TEXT", "question TEXT", "audit_steps INTEGER"}) {
    const std::string name(column, std::string_view(column).find(' '));
    if (!existing.contains(name)) execute(fmt::format("ALTER TABLE points ADD COLUMN {}", column));
  }
  for (const std::string& column : figure_columns()) {
    if (existing.contains(column)) continue;
    execute(fmt::format("ALTER TABLE points ADD COLUMN \"{}\" REAL", column));
  }
}

void SweepDatabase::execute(const std::string& sql) {
  if (sqlite3_exec(database_.get(), sql.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK) {
    throw ConfigError(fmt::format("database '{}': {}", path_, sqlite3_errmsg(database_.get())));
  }
}

std::int64_t SweepDatabase::count_points() const {
  Statement tables(database_.get(),
                   "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = 'points'");
  tables.step();
  if (tables.integer(0) == 0) return 0;
  Statement points(database_.get(), "SELECT COUNT(*) FROM points");
  points.step();
  return points.integer(0);
}

Resumption SweepDatabase::take_over(const std::vector<SweepTask>& tasks, bool may_lose) {
  const std::vector<PointResult> old = results();
  for (const PointResult& row : old) {
    if (row.status != "ok" || !row.question.empty()) continue;
    throw ConfigError(
        fmt::format("database '{}' has results that no sweep of this version has written, and "
                    "does not keep them; write it anew (--force, force=True), or choose another "
                    "name",
                    path_));
  }
  Resumption resumption = resume_with(tasks, old);
  if (resumption.dropped.lost > 0 && !may_lose) {
    throw ConfigError(
        fmt::format("database '{}' has {} finished points that this sweep does not run, or not by "
                    "this clock; go on in another database (--db, db=), or drop them (--resume "
                    "--force, resume=True with force=True)",
                    path_, resumption.dropped.lost));
  }
  execute("BEGIN");
  execute("DELETE FROM points; DELETE FROM changes");
  for (const PointResult& row : resumption.rows) store(row);
  execute("COMMIT");
  return resumption;
}

void SweepDatabase::store(const PointResult& result) {
  Statement insert(database_.get(), insert_);
  insert.bind(1, result.point);
  insert.bind(2, result.config_hash);
  insert.bind(3, result.overrides);
  insert.bind(4, result.status);
  insert.bind(5, result.error);
  insert.bind(6, result.result);
  insert.bind(7, result.violated);
  insert.bind(8, result.question);
  insert.bind(9, result.audit_steps);
  const ResultFigures figures = read_figures(result.result);
  int index = 10;
  for (const std::string& figure : known_figures()) {
    const auto found = figures.values.find(figure);
    if (found != figures.values.end()) insert.bind(index, found->second);
    ++index;
  }
  for (const std::string& figure : banded_figures()) {
    const auto found = figures.bands.find(figure);
    if (found != figures.bands.end()) {
      insert.bind(index, found->second.low);
      insert.bind(index + 1, found->second.high);
    }
    index += 2;
  }
  insert.step();
  store_changes(result);
}

void SweepDatabase::store_changes(const PointResult& result) {
  Statement old(database_.get(), "DELETE FROM changes WHERE point = ?");
  old.bind(1, result.point);
  old.step();
  for (const auto& [path, value] : result.changes) {
    Statement insert(database_.get(), "INSERT OR REPLACE INTO changes VALUES (?, ?, ?, ?)");
    insert.bind(1, result.point);
    insert.bind(2, path);
    insert.bind(3, value);
    const ExpressionValue read = value_of_text(value);
    if (const auto* number = std::get_if<double>(&read)) insert.bind(4, *number);
    if (const auto* quantity = std::get_if<UnitNumber>(&read)) insert.bind(4, quantity->number);
    insert.step();
  }
}

void SweepDatabase::store_tornado(const std::vector<TornadoBar>& bars) {
  execute("BEGIN");
  execute(
      "CREATE TABLE tornado (rank INTEGER PRIMARY KEY, figure TEXT, parameter TEXT, low REAL, "
      "high REAL, source TEXT, basis TEXT, least REAL, largest REAL)");
  std::int64_t rank = 0;
  for (const TornadoBar& bar : bars) {
    Statement insert(database_.get(), "INSERT INTO tornado VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)");
    insert.bind(1, ++rank);
    insert.bind(2, bar.figure);
    insert.bind(3, bar.parameter);
    insert.bind(4, bar.low);
    insert.bind(5, bar.high);
    insert.bind(6, bar.source);
    insert.bind(7, bar.basis);
    insert.bind(8, bar.least);
    insert.bind(9, bar.largest);
    insert.step();
  }
  execute("COMMIT");
}

std::int64_t SweepDatabase::next_point() const {
  Statement query(database_.get(), "SELECT COALESCE(MAX(point) + 1, 0) FROM points");
  query.step();
  return query.integer(0);
}

std::vector<PointResult> SweepDatabase::results() const {
  std::vector<PointResult> results;
  Statement query(
      database_.get(),
      "SELECT point, config_hash, overrides, status, error, result, violated, question, "
      "audit_steps FROM points ORDER BY point");
  while (query.step()) {
    results.push_back({query.integer(0), query.text(1), query.text(2), query.text(3), query.text(4),
                       query.text(5), query.text(6), query.text(7), query.integer(8)});
  }
  return results;
}

}  // namespace tandem::entry
