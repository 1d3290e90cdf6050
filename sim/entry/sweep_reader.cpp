#include "sim/entry/sweep_reader.hpp"

#include <fmt/format.h>
#include <sqlite3.h>

#include <algorithm>
#include <cstdlib>
#include <memory>

#include "sim/core/diagnostics.hpp"

namespace tandem::entry {
namespace {

struct CloseDatabase {
  void operator()(sqlite3* database) const { sqlite3_close(database); }
};

/// One row of the query below, as SQLite hands it over.
int add_point(void* points, int, char** values, char**) {
  const auto text = [&](int column) { return values[column] == nullptr ? "" : values[column]; };
  static_cast<std::vector<PointResult>*>(points)->push_back(
      {std::atoll(text(0)), text(1), text(2), text(3), text(4), text(5), text(6)});
  return 0;
}

/// One change, of the point whose number it names.
int add_change(void* points, int, char** values, char**) {
  auto& rows = *static_cast<std::vector<PointResult>*>(points);
  const auto row = std::ranges::lower_bound(rows, std::atoll(values[0]), {}, &PointResult::point);
  if (row != rows.end() && row->point == std::atoll(values[0])) {
    row->changes.emplace_back(values[1], values[2]);
  }
  return 0;
}

}  // namespace

std::vector<PointResult> read_points(const std::string& path) {
  sqlite3* raw = nullptr;
  const int opened = sqlite3_open_v2(path.c_str(), &raw, SQLITE_OPEN_READONLY, nullptr);
  const std::unique_ptr<sqlite3, CloseDatabase> database(raw);
  if (opened != SQLITE_OK) throw ConfigError(fmt::format("cannot open database '{}'", path));
  std::vector<PointResult> points;
  const int code = sqlite3_exec(database.get(),
                                "SELECT point, config_hash, overrides, status, error, result, "
                                "violated FROM points ORDER BY point",
                                &add_point, &points, nullptr);
  if (code == SQLITE_BUSY) {
    throw ConfigError(fmt::format("database '{}' is in use; wait until the sweep ends", path));
  }
  if (code != SQLITE_OK) {
    throw ConfigError(
        fmt::format("'{}' is no sweep database: {}", path, sqlite3_errmsg(database.get())));
  }
  // A file of an earlier version has no such table: its points show no changes.
  sqlite3_exec(database.get(), "SELECT point, path, value FROM changes ORDER BY rowid", &add_change,
               &points, nullptr);
  return points;
}

}  // namespace tandem::entry
