// The SQLite file of a sweep: one table `points`, a row per point of the grid.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "sim/entry/sweeps/sweep_resume.hpp"
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
  std::string range = {};  ///< the same with units, for people: "3 years to 6 years"
};

/// What becomes of points that the file already has.
enum class ExistingPoints : std::uint8_t { Refuse, Keep, Replace };

/// Table points(point, config_hash, overrides, status, error, result, violated, question,
/// audit_steps, and the known figures as columns, each with the ends of its band in two further
/// ones, "tpot_ms_p99_low" and "..._high"), a row per point, and table changes(point, path, value,
/// number), numbers in base units; each row is written in a transaction of its own:
/// whenever the process ends, the file has whole rows only. Holds SQLite's exclusive lock as long
/// as it lives. Throws ConfigError when the file cannot be opened, is no such database, is in use,
/// or has points that are refused.
class SweepDatabase {
 public:
  SweepDatabase(const std::string& path, ExistingPoints existing);
  ~SweepDatabase();
  SweepDatabase(const SweepDatabase&) = delete;
  SweepDatabase& operator=(const SweepDatabase&) = delete;
  /// Makes the rows those of `tasks`, in one transaction, and returns what has to run, and what was
  /// dropped: resume_with() says which rows stay. Throws ConfigError, with all rows as they were,
  /// where rows would be lost, unless `may_lose`.
  [[nodiscard]] Resumption take_over(const std::vector<SweepTask>& tasks, bool may_lose = false);
  void store(const PointResult& result);
  /// Table tornado(rank, figure, parameter, low, high, source, basis, least, largest): of plans,
  /// what their answer hangs on.
  void store_tornado(const std::vector<TornadoBar>& bars);
  /// The number behind the last point's.
  [[nodiscard]] std::int64_t next_point() const;
  /// All rows, by point.
  [[nodiscard]] std::vector<PointResult> results() const;

 private:
  struct Closer {
    void operator()(sqlite3* database) const;
  };
  void execute(const std::string& sql);
  [[nodiscard]] std::int64_t count_points() const;
  void store_changes(const PointResult& result);
  void add_missing_columns();
  std::string path_;
  std::unique_ptr<sqlite3, Closer> database_;
  std::string insert_;
};

}  // namespace tandem::entry
