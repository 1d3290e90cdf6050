#include "sim/entry/sweeps/sweep_resume.hpp"

#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <tuple>

namespace tandem::entry {
namespace {

/// What ran: scenario, clock and changes, whatever the scenario says now.
using Point = std::tuple<std::string, std::string, std::string>;

/// What a result says of its own run; empty texts where there is no result.
struct Origin {
  std::string scenario;
  std::string fidelity;
  std::string scenario_hash;
};

Origin origin_of(const PointResult& row) {
  if (row.result.empty()) return {};
  const auto json = nlohmann::json::parse(row.result);
  return {json.value("scenario", ""), json.value("fidelity", ""), json.value("config_hash", "")};
}

bool is_finished(const PointResult& row) {
  return row.status == "ok" || row.status == "refused";
}

/// Rows to look up, by what they answer and by what ran.
struct KnownRows {
  explicit KnownRows(const std::vector<PointResult>& rows) {
    for (const PointResult& row : rows) {
      if (!is_finished(row)) continue;
      by_question[row.question] = &row;
      const Origin origin = origin_of(row);
      if (row.status == "ok") by_run[{origin.scenario_hash, origin.fidelity}] = &row;
    }
  }
  /// The row that a task need not make again; null for none.
  [[nodiscard]] const PointResult* of(const SweepTask& task) const {
    const auto same = by_question.find(task.question);
    if (same != by_question.end() && same->second->audit_steps >= task.audit_steps) {
      return same->second;
    }
    const auto run = by_run.find({task.scenario_hash, task.fidelity});
    return run == by_run.end() || task.scenario_hash.empty() ? nullptr : run->second;
  }
  std::map<std::string, const PointResult*> by_question;
  std::map<std::pair<std::string, std::string>, const PointResult*> by_run;
};

PointResult row_for(const SweepTask& task, const PointResult& known) {
  PointResult row = result_of(task);
  row.status = known.status;
  row.error = known.error;
  row.result = known.result;
  row.config_hash = known.question == task.question ? known.config_hash : task.config_hash;
  row.audit_steps = known.audit_steps;
  row.violated = known.question == task.question ? known.violated : violated_by(task, row.result);
  return row;
}

/// Rows whose questions no task took, by why they go.
DroppedRows dropped_of(const std::vector<SweepTask>& tasks, const std::vector<PointResult>& rows,
                       const std::set<std::string>& taken) {
  std::set<std::string> changes;
  std::set<Point> due;
  for (const SweepTask& task : tasks) {
    changes.insert(task.overrides);
    if (task.status == "due") due.insert({task.scenario, task.fidelity, task.overrides});
  }
  DroppedRows dropped;
  for (const PointResult& row : rows) {
    if (is_finished(row) && taken.contains(row.question)) continue;
    const Origin origin = origin_of(row);
    const bool is_ok = row.status == "ok";
    const bool runs_again = due.contains({origin.scenario, origin.fidelity, row.overrides});
    if (is_ok && !runs_again) ++dropped.lost;
    if (is_ok ? !runs_again : !changes.contains(row.overrides)) {
      ++dropped.others;
    } else if (is_finished(row) && !row.question.empty()) {
      ++dropped.changed;
    }
  }
  return dropped;
}

}  // namespace

Resumption resume_with(const std::vector<SweepTask>& tasks, const std::vector<PointResult>& rows) {
  const KnownRows known(rows);
  std::set<std::string> taken;
  Resumption resumption;
  for (const SweepTask& task : tasks) {
    const PointResult* row = known.of(task);
    if (task.status != "due") {
      resumption.rows.push_back(result_of(task));
    } else if (row == nullptr) {
      resumption.due.push_back(task);
    } else {
      resumption.rows.push_back(row_for(task, *row));
      taken.insert(row->question);
    }
  }
  resumption.dropped = dropped_of(tasks, rows, taken);
  return resumption;
}

}  // namespace tandem::entry
