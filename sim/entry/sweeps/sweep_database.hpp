// The SQLite file of a sweep: one table `points`, a row per point of the grid.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "sim/entry/sweeps/sweep_tasks.hpp"

struct sqlite3;

namespace tandem::entry {

/// A number over its range and what that does to a figure, as factors of its value.
struct TornadoBar {
  std::string figure;
  std::string parameter;
  double low = 0;  ///< the number's range, in base units
  double high = 0;
  std::string source;
  std::string basis;
  double least = 1;
  double largest = 1;
};

/// Table points(point, config_hash, overrides, status, error, result, violated, and the summary's
/// figures as columns), a row per point, each written in a transaction of its own: whenever the
/// process ends, the file has whole rows only. Holds SQLite's exclusive lock as long as it lives.
/// Throws ConfigError when the file cannot be opened, is no such database, or is in use.
class SweepDatabase {
 public:
  SweepDatabase(const std::string& path, bool keep_existing);
  ~SweepDatabase();
  SweepDatabase(const SweepDatabase&) = delete;
  SweepDatabase& operator=(const SweepDatabase&) = delete;
  /// Points that need not run again, with their config hash: those that are ok or were refused.
  [[nodiscard]] std::set<std::pair<std::int64_t, std::string>> finished() const;
  /// Drops all rows but these: what another sweep or an earlier version of this one left.
  void keep_only(const std::set<std::pair<std::int64_t, std::string>>& points);
  void store(const PointResult& result);
  /// Table tornado(rank, figure, parameter, low, high, source, basis, least, largest): of plans,
  /// what their answer hangs on.
  void store_tornado(const std::vector<TornadoBar>& bars);
  /// All rows, by point.
  [[nodiscard]] std::vector<PointResult> results() const;

 private:
  struct Closer {
    void operator()(sqlite3* database) const;
  };
  void execute(const std::string& sql);
  void add_missing_columns();
  std::string path_;
  std::unique_ptr<sqlite3, Closer> database_;
  std::string insert_;
};

}  // namespace tandem::entry
