// The search of a plan: candidates in rounds, the most promising first; what cannot meet a limit or
// is beaten in all by a candidate that ran is left out.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "sim/config/plan.hpp"
#include "sim/entry/plans/plan_bounds.hpp"
#include "sim/entry/sweeps/sweep_tasks.hpp"

namespace tandem::entry {

/// Hands out tasks round by round and takes their results. Rounds do not depend on who runs them,
/// so neither do the rows: a search is the same for any number of workers.
class PlanSearch {
 public:
  /// Throws ConfigError with every mistake of the plan's file. Nothing is simulated yet.
  PlanSearch(const Context& context, Plan plan, const SweepOptions& options);
  /// The tasks of the next round; none when the search is over. Between two rounds all results of
  /// the first are taken. The first one bounds all candidates: seconds.
  [[nodiscard]] std::vector<SweepTask> next_round();
  void take(PointResult result);
  /// All candidates, by number, when the search is over: statuses of sweeps, and "pruned" with the
  /// reason in `error`.
  [[nodiscard]] std::vector<PointResult> results() const;
  /// The number of the best candidate; none where no candidate meets the limits.
  [[nodiscard]] std::optional<std::size_t> best() const;
  [[nodiscard]] const Plan& plan() const { return plan_; }
  [[nodiscard]] std::vector<SweepTask> tasks() const;
  /// For SweepWorker::answer().
  [[nodiscard]] const std::string& task_of(std::size_t candidate) const {
    return candidates_[candidate].task.task;
  }

  /// Objectives of latency that a candidate is held to: the plan's, else its scenario's. None
  /// for those that never run.
  [[nodiscard]] const std::optional<Slo>& slo_of(std::size_t candidate) const {
    return candidates_[candidate].slo;
  }

 private:
  struct Candidate {
    SweepTask task;
    std::optional<Slo> slo;  ///< that it is held to; none where it was left out before
    PlanBounds bounds;
    std::optional<PointResult> result;
    std::vector<double> figures;  ///< of the objectives; empty unless ok and within limits
  };
  void bound();
  void prune(Candidate& candidate, const std::string& reason);
  [[nodiscard]] std::string reason_to_prune(const Candidate& candidate) const;

  Context context_;
  SweepOptions options_;
  Plan plan_;
  std::vector<Candidate> candidates_;
  std::vector<std::size_t> order_;  ///< that are due, the most promising first
  bool is_bounded_ = false;
};

}  // namespace tandem::entry
