#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>

#include "sim/core/diagnostics.hpp"
#include "sim/entry/commands.hpp"
#include "sim/entry/sweeps/sweep_database.hpp"
#include "sim/entry/sweeps/sweep_run.hpp"
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
  bool force = false;
};

ExistingPoints existing_points(const SweepArguments& arguments) {
  if (arguments.resume) return ExistingPoints::Keep;
  return arguments.force ? ExistingPoints::Replace : ExistingPoints::Refuse;
}

/// What went of the database, a line each; nothing where nothing did.
std::string dropped_lines(const DroppedRows& dropped) {
  std::string lines;
  if (dropped.others > 0) lines += fmt::format("{} rows of other points dropped\n", dropped.others);
  if (dropped.changed > 0) {
    lines += fmt::format("{} rows of points that run again dropped\n", dropped.changed);
  }
  return lines;
}

void run_sweep(const SweepArguments& arguments, Session& session) {
  if (arguments.workers < 1) throw ConfigError("--workers must be at least 1");
  const Sweep sweep = read_sweep(session.context.loader.roots(), arguments.sweep);
  const std::vector<SweepTask> tasks = prepare_sweep(session.context, sweep, arguments.options);
  const std::string path = arguments.database.empty() ? sweep.name + ".db" : arguments.database;
  SweepDatabase database(path, existing_points(arguments));
  const Resumption resumption = database.take_over(tasks, arguments.force);
  const std::vector<SweepTask>& due = resumption.due;
  std::cout << dropped_lines(resumption.dropped) << std::flush;
  const int signal = run_tasks("sweep", due, arguments.workers,
                               [&](const PointResult& result) { database.store(result); });
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
  command->add_flag(
      "--resume", arguments->resume,
      "Keep finished points of the database; with --force even where others are lost");
  command->add_flag("--force", arguments->force, "Write a database that has points anew");
  command->callback([arguments, &session] { run_sweep(*arguments, session); });

  CLI::App* worker = app.add_subcommand("worker", "Answers sweep points; started by sweep");
  worker->group("");
  worker->callback([&session] {
    SweepWorker answers(session.context);
    serve_as_worker([&](const std::string& line) { return answers.answer(line); });
  });
}

}  // namespace tandem::entry
