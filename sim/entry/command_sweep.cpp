#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "sim/config/studies.hpp"
#include "sim/core/diagnostics.hpp"
#include "sim/entry/api.hpp"
#include "sim/entry/commands.hpp"
#include "sim/entry/sweep_database.hpp"
#include "sim/entry/worker_pool.hpp"

namespace tandem::entry {
namespace {

using Json = nlohmann::ordered_json;

struct SweepArguments {
  std::string sweep;
  std::string database;
  std::string store = "none";
  int workers = 1;
  bool resume = false;
};

struct Point {
  std::int64_t index = 0;
  std::vector<Override> overrides;
  std::string config_hash;
};

/// Loads every point before any runs, so that all mistakes of the grid are told at once.
std::vector<Point> checked_points(const Sweep& sweep, const Loader& loader) {
  std::vector<Point> points;
  std::vector<Diagnostic> complaints;
  for (const std::vector<Override>& overrides : sweep.points()) {
    Point point{static_cast<std::int64_t>(points.size()), overrides, ""};
    try {
      point.config_hash = loader.scenario(sweep.scenario, overrides).config_hash;
    } catch (const ConfigError& error) {
      complaints.insert(complaints.end(), error.diagnostics().begin(), error.diagnostics().end());
    }
    points.push_back(std::move(point));
  }
  if (!complaints.empty()) throw ConfigError(std::move(complaints));
  return points;
}

std::string task_of(const Sweep& sweep, const Point& point, const std::string& store) {
  Json task;
  task["scenario"] = sweep.scenario;
  task["store"] = store;
  task["set"] = Json::array();
  for (const Override& change : point.overrides) task["set"].push_back({change.path, change.value});
  return task.dump();
}

PointResult result_of(const Point& point, const std::string& answer) {
  const Json json = Json::parse(answer);
  PointResult result;
  result.point = point.index;
  result.config_hash = point.config_hash;
  for (const Override& change : point.overrides) {
    result.overrides +=
        fmt::format("{}{}={}", result.overrides.empty() ? "" : "; ", change.path, change.value);
  }
  result.status = json["status"];
  result.error = json["error"];
  result.result = json["result"];
  return result;
}

void run_sweep(const SweepArguments& arguments, const Context& context) {
  if (arguments.workers < 1) throw ConfigError("--workers must be at least 1");
  const Sweep sweep = load_sweep(context.loader.roots(), arguments.sweep);
  const std::vector<Point> points = checked_points(sweep, context.loader);
  const std::string path = arguments.database.empty() ? sweep.name + ".db" : arguments.database;
  SweepDatabase database(path, arguments.resume);
  const auto finished = database.finished();
  std::vector<const Point*> due;
  std::vector<std::string> tasks;
  for (const Point& point : points) {
    if (finished.count({point.index, point.config_hash}) > 0) continue;
    due.push_back(&point);
    tasks.push_back(task_of(sweep, point, arguments.store));
  }
  Progress progress("sweep");
  std::size_t done = 0;
  std::size_t failed = 0;
  run_on_workers(tasks, arguments.workers, [&](std::size_t task, const std::string& answer) {
    const PointResult result = result_of(*due[task], answer);
    failed += result.status == "ok" ? 0 : 1;
    database.store(result);
    progress.update(fmt::format("{} of {} points", ++done, tasks.size()));
  });
  std::cout << fmt::format("{}: {} points, {} run now, {} failed\n", path, points.size(),
                           tasks.size(), failed);
}

/// What a worker answers to one task line. A point that fails is an answer too.
std::string answer_task(const Context& context, const std::string& line) {
  Json answer{{"status", "ok"}, {"error", ""}, {"result", ""}};
  try {
    const Json task = Json::parse(line);
    RunRequest request;
    request.scenario = task["scenario"];
    request.store = task["store"];
    for (const Json& change : task["set"]) request.overrides.push_back({change[0], change[1]});
    answer["result"] = run_scenario(context, request).json;
  } catch (const std::exception& error) {
    answer["status"] = "error";
    answer["error"] = error.what();
  }
  return answer.dump();
}

}  // namespace

void add_sweep(CLI::App& app, Session& session) {
  auto arguments = std::make_shared<SweepArguments>();
  CLI::App* command =
      app.add_subcommand("sweep", "Runs a grid of changed scenarios into a SQLite database");
  command->add_option("sweep", arguments->sweep, "Sweep file or name")->required();
  command->add_option("--workers", arguments->workers, "Worker processes");
  command->add_option("--db", arguments->database, "Database; default NAME.db");
  command->add_option("--store", arguments->store, "Folder of reusable step results, or none");
  command->add_flag("--resume", arguments->resume, "Keep finished points of the database");
  command->callback([arguments, &session] { run_sweep(*arguments, session.context); });

  CLI::App* worker = app.add_subcommand("worker", "Answers sweep points; started by sweep");
  worker->group("");
  worker->callback([&session] {
    serve_as_worker(
        [&session](const std::string& line) { return answer_task(session.context, line); });
  });
}

}  // namespace tandem::entry
