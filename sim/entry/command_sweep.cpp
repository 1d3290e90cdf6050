#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <filesystem>
#include <iostream>
#include <memory>

#include "sim/core/diagnostics.hpp"
#include "sim/entry/commands.hpp"
#include "sim/entry/sweeps/sweep_database.hpp"
#include "sim/entry/sweeps/sweep_summary.hpp"
#include "sim/entry/sweeps/sweep_tasks.hpp"
#include "sim/entry/sweeps/worker_pool.hpp"

namespace tandem::entry {
namespace {

struct SweepArguments {
  std::string sweep;
  std::string database;
  SweepOptions options;
  int workers = 1;
  bool resume = false;
};

std::string duration_text(double seconds) {
  const auto whole = static_cast<std::int64_t>(seconds + 0.5);
  if (whole < 60) return fmt::format("{} s", whole);
  if (whole < 3600) return fmt::format("{} min {} s", whole / 60, whole % 60);
  return fmt::format("{} h {} min", whole / 3600, whole % 3600 / 60);
}

/// "37 of 1000 points, 3 without result, 4.2 points/s, 3 min 49 s left"
class SweepProgress {
 public:
  explicit SweepProgress(std::size_t total) : progress_("sweep"), total_(total) {}
  void count(bool is_ok) {
    ++done_;
    failed_ += is_ok ? 0 : 1;
  }
  void show() {
    const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - start_;
    std::string text = fmt::format("{} of {} points", done_, total_);
    if (failed_ > 0) text += fmt::format(", {} without result", failed_);
    if (done_ > 0 && spent.count() > 0) {
      const double rate = static_cast<double>(done_) / spent.count();
      text += fmt::format(", {:.2g} points/s, {} left", rate,
                          duration_text(static_cast<double>(total_ - done_) / rate));
    }
    progress_.update(text);
  }

 private:
  Progress progress_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  std::size_t total_;
  std::size_t done_ = 0;
  std::size_t failed_ = 0;
};

PointResult result_of_worker(const SweepTask& task, const WorkerAnswer& answer) {
  if (!answer.died) return result_of(task, answer.text);
  PointResult result = result_of(task);
  result.status = "error";
  result.error = fmt::format("two workers died of this point, the last {}", answer.text);
  return result;
}

/// What has to run; rows of points that never run are written at once.
std::vector<const SweepTask*> due_tasks(const std::vector<SweepTask>& tasks,
                                        SweepDatabase& database) {
  std::set<std::pair<std::int64_t, std::string>> known;
  for (const SweepTask& task : tasks) known.emplace(task.point, task.config_hash);
  database.keep_only(known);
  const auto finished = database.finished();
  std::vector<const SweepTask*> due;
  for (const SweepTask& task : tasks) {
    if (finished.contains({task.point, task.config_hash})) continue;
    if (task.status == "due") {
      due.push_back(&task);
    } else {
      database.store(result_of(task));
    }
  }
  return due;
}

/// Runs what is due; the signal that ended it early, or 0.
int run_tasks(const std::vector<const SweepTask*>& due, int workers, SweepDatabase& database) {
  const Interruption interruption;
  std::vector<std::string> lines;
  for (const SweepTask* task : due) lines.push_back(task->task);
  SweepProgress progress(lines.size());
  WorkerPoolCalls calls;
  calls.on_answer = [&](std::size_t task, const WorkerAnswer& answer) {
    const PointResult result = result_of_worker(*due[task], answer);
    database.store(result);
    progress.count(result.status == "ok");
  };
  calls.goes_on = [&] {
    progress.show();
    return Interruption::signal() == 0;
  };
  run_on_workers(lines, workers, calls);
  return Interruption::signal();
}

void run_sweep(const SweepArguments& arguments, Session& session) {
  if (arguments.workers < 1) throw ConfigError("--workers must be at least 1");
  const Sweep sweep = load_sweep(session.context.loader.roots(), arguments.sweep);
  const std::vector<SweepTask> tasks = prepare_sweep(session.context, sweep, arguments.options);
  const std::string path = arguments.database.empty() ? sweep.name + ".db" : arguments.database;
  SweepDatabase database(path, arguments.resume);
  const std::vector<const SweepTask*> due = due_tasks(tasks, database);
  const int signal = run_tasks(due, arguments.workers, database);
  const std::vector<PointResult> results = database.results();
  if (signal != 0) {
    std::cerr << fmt::format(
        "interrupted: {} of {} points are in {}; go on with 'tandem sweep {} --db {} --resume'\n",
        results.size(), tasks.size(), path, arguments.sweep, path);
    session.exit_code = 128 + signal;
    return;
  }
  std::cout << fmt::format("{}, {} run now: ", path, due.size()) << sweep_page(sweep, results);
}

}  // namespace

void add_sweep(CLI::App& app, Session& session) {
  auto arguments = std::make_shared<SweepArguments>();
  arguments->options.store = default_store();
  CLI::App* command = app.add_subcommand(
      "sweep", "Runs the points of a sweep into a SQLite database and prints the best of them");
  command->add_option("sweep", arguments->sweep, "Sweep file or name")->required();
  command->add_option("--workers", arguments->workers, "Worker processes");
  command->add_option("--db", arguments->database, "Database; default NAME.db");
  command->add_option("--store", arguments->options.store,
                      "Folder of reusable step results, or none");
  command->add_option("--fidelity", arguments->options.fidelity,
                      "cycle, or analytical for the floor");
  command->add_flag("--resume", arguments->resume, "Keep finished points of the database");
  command->callback([arguments, &session] { run_sweep(*arguments, session); });

  CLI::App* worker = app.add_subcommand("worker", "Answers sweep points; started by sweep");
  worker->group("");
  worker->callback([&session] {
    SweepWorker answers(session.context);
    serve_as_worker([&](const std::string& line) { return answers.answer(line); });
  });
}

}  // namespace tandem::entry
