// From a sweep to tasks: each point looked at before any runs, and what one point gives. The same
// for worker processes of the command line, for Python, and for machines of a cluster.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "sim/config/sweep.hpp"
#include "sim/entry/context.hpp"

namespace tandem::entry {

/// How the points of a sweep are run.
struct SweepOptions {
  std::string fidelity = "cycle";
  std::string store = "none";
};

/// What a point changes: paths and values as written.
using PointChanges = std::vector<std::pair<std::string, std::string>>;

/// What is known of a point before it runs.
struct SweepTask {
  std::int64_t point = 0;
  std::string config_hash;  ///< empty where the scenario was refused
  std::string overrides;    ///< "path=value" joined by "; "
  std::string status;       ///< "due", "refused" or "excluded"
  std::string error;        ///< why it is not due
  std::string task;         ///< for SweepWorker::answer(), where it is due
  /// What a row answers: scenario, clock and constraints, audits apart. Points with the same one
  /// have the same figures, whatever else the sweep holds. Empty where the scenario was refused.
  std::string question;
  std::int64_t audit_steps = 0;  ///< that it asks for
  PointChanges changes;
  std::string scenario = {};  ///< its name; with the next two empty where it was refused
  std::string fidelity = {};
  std::string scenario_hash = {};  ///< as results say it: of the scenario alone, audits counted
};

/// What one point gave.
struct PointResult {
  std::int64_t point = 0;
  std::string config_hash;
  std::string overrides;
  /// "ok"; "refused": the model says why it cannot be (no fit); "excluded" by a constraint before
  /// it ran; "pruned" by a plan; "error": a fault of the simulator or a worker that died.
  std::string status;
  std::string error;
  std::string result;            ///< the JSON of `tandem run`, empty unless ok
  std::string violated = {};     ///< constraints that the result breaks, joined by "; "
  std::string question = {};     ///< of the task
  std::int64_t audit_steps = 0;  ///< of the task
  PointChanges changes = {};     ///< of the task; empty in rows that are read from a database
};

/// Points in their order. Points whose values do not go together are refused; audited passes are
/// those of a pool of at least 300 over all points (10 of each from 30 points on), unless the sweep
/// sets `audit_steps`. Throws ConfigError with every mistake of the sweep's file at its place
/// there: values that no scenario may have, names that constraints and objectives do not know.
[[nodiscard]] std::vector<SweepTask> prepare_sweep(const Context& context, const Sweep& sweep,
                                                   const SweepOptions& options);

/// Where a study's file has what a complaint about a point's scenario means: the value of a change,
/// of one about `--set path`; the scenario, of one without a place. Other places stay.
[[nodiscard]] SourcePlace place_in_file(const SweepPoint& point, const SourcePlace& place);

/// The changes of a point without their places.
[[nodiscard]] std::vector<Override> point_overrides(const SweepPoint& point);

/// Answers tasks, one after the other. Keeps what it has read; answers do not depend
/// on that.
class SweepWorker {
 public:
  explicit SweepWorker(Context context);
  /// {status, error, violated, result} as JSON on one line. Never throws.
  [[nodiscard]] std::string answer(const std::string& task);

 private:
  Context context_;
};

/// A task and its answer put together.
[[nodiscard]] PointResult result_of(const SweepTask& task, const std::string& answer);

/// Constraints of a task that is due and that a result breaks, joined by "; "; one that cannot be
/// judged is not kept, "(not known)".
[[nodiscard]] std::string violated_by(const SweepTask& task, const std::string& result);

/// A point that is not due, as a result.
[[nodiscard]] PointResult result_of(const SweepTask& task);

}  // namespace tandem::entry
