// The SQLite file of a sweep: one table `points`, a row per point of the grid.
#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

struct sqlite3;

namespace tandem::entry {

/// What one point gave.
struct PointResult {
  std::int64_t point = 0;
  std::string config_hash;
  std::string overrides;  ///< "path=value" joined by "; "
  std::string status;     ///< "ok" or "error"
  std::string error;
  std::string result;  ///< the JSON of `tandem run`, empty on error
};

/// Table points(point, config_hash, overrides, status, error, result, and the summary figures as
/// columns). Holds SQLite's exclusive lock as long as it lives. Throws ConfigError when the file
/// cannot be opened, is no such database, or is in use.
class SweepDatabase {
 public:
  SweepDatabase(const std::string& path, bool keep_existing);
  /// Points already done without error, with their config hash.
  [[nodiscard]] std::set<std::pair<std::int64_t, std::string>> finished() const;
  void store(const PointResult& result);

 private:
  struct Closer {
    void operator()(sqlite3* database) const;
  };
  void execute(const std::string& sql);
  std::string path_;
  std::unique_ptr<sqlite3, Closer> database_;
};

/// The figures of a result's summary as (column, value) pairs; a nested key a.b becomes a_b.
[[nodiscard]] std::vector<std::pair<std::string, double>> summary_columns(
    const std::string& result_json);

}  // namespace tandem::entry
