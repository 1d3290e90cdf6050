#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>

#include "sim/core/diagnostics.hpp"
#include "sim/entry/commands.hpp"
#include "sim/entry/plans/plan_page.hpp"
#include "sim/entry/sweeps/sweep_database.hpp"
#include "sim/entry/sweeps/sweep_run.hpp"

namespace tandem::entry {
namespace {

struct PlanArguments {
  std::string plan;
  std::string database;
  SweepOptions options;
  int workers = 1;
  bool force = false;
};

void run_plan(const PlanArguments& arguments, Session& session) {
  if (arguments.workers < 1) throw ConfigError("--workers must be at least 1");
  const Context& context = session.context;
  PlanSearch search(context, read_plan(context.loader.roots(), arguments.plan), arguments.options);
  std::unique_ptr<SweepDatabase> database;
  if (!arguments.database.empty()) {
    database = std::make_unique<SweepDatabase>(
        arguments.database, arguments.force ? ExistingPoints::Replace : ExistingPoints::Refuse);
  }
  const auto store = [&](const PointResult& result) {
    if (database) database->store(result);
  };
  for (auto round = search.next_round(); !round.empty(); round = search.next_round()) {
    const int signal = run_tasks("plan", round, arguments.workers, [&](const PointResult& result) {
      search.take(result);
      store(result);
    });
    if (signal == 0) continue;
    std::cerr << "interrupted: the plan has no answer yet\n";
    session.exit_code = 128 + signal;
    return;
  }
  for (const PointResult& result : search.results()) {
    if (result.result.empty()) store(result);
  }
  std::cout << plan_page(search);
  const std::string task = swings_task(search);
  if (task.empty()) {
    session.exit_code = check_failed;
    return;
  }
  const std::vector<TornadoBar> bars = tornado_of(search, SweepWorker(context).answer(task));
  if (database) database->store_tornado(bars);
  std::cout << tornado_page(bars);
}

}  // namespace

void add_plan(CLI::App& app, Session& session) {
  auto arguments = std::make_shared<PlanArguments>();
  arguments->options.store = default_store();
  CLI::App* command = app.add_subcommand(
      "plan", "Finds the system, placement and load that reach a goal best within limits");
  command->add_option("plan", arguments->plan, "Plan file or name")->required();
  command->add_option("--workers", arguments->workers, "Worker processes");
  command->add_option("--db", arguments->database, "Database for the candidates, as of sweeps");
  command->add_flag("--force", arguments->force, "Write a database that has points anew");
  command->add_option("--store", arguments->options.store,
                      "Folder of reusable step results, or none");
  command->add_option("--fidelity", arguments->options.fidelity,
                      "cycle, or analytical for the floor");
  command->callback([arguments, &session] { run_plan(*arguments, session); });
}

}  // namespace tandem::entry
