#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <memory>

#include "sim/config/unit_text.hpp"
#include "sim/core/diagnostics.hpp"
#include "sim/entry/api.hpp"
#include "sim/entry/commands.hpp"
#include "sim/entry/sweeps/sweep_database.hpp"

namespace tandem::entry {
namespace {

struct RunArguments {
  RunRequest request;
  std::string perturbation;
  std::vector<std::string> overrides;
  std::string json;
  std::string requests;
  std::string timeline;
  std::string database;
};

/// A share such as "0.1%", below `most`; throws ConfigError that names the option for anything
/// else.
double share_of(const char* option, const std::string& text, double most) {
  const ParsedNumber number = parse_number(text, Dimension::Fraction);
  if (number.is_good() && number.value >= 0 && number.value < most) return number.value;
  throw ConfigError(std::string(option) + " is '" + text + "'; write a share from 0 to below " +
                    print_number(most, Dimension::Fraction) + ", e.g. '0.1%'");
}

void run_command(RunArguments& arguments, const Context& context) {
  if (!arguments.perturbation.empty()) {
    arguments.request.perturbation = share_of("--perturb", arguments.perturbation, 1);
  }
  arguments.request.overrides = parse_overrides(arguments.overrides);
  arguments.request.with_requests = !arguments.requests.empty();
  arguments.request.with_timeline = !arguments.timeline.empty();
  const RunAnswer answer = [&] {
    Progress progress("run");
    progress.update(arguments.request.scenario);
    return run_scenario(context, arguments.request);
  }();
  std::unique_ptr<SweepDatabase> database;
  if (!arguments.database.empty()) {
    database = std::make_unique<SweepDatabase>(arguments.database, ExistingPoints::Keep);
  }
  write_outputs({{arguments.json, answer.json},
                 {arguments.requests, answer.requests_csv},
                 {arguments.timeline, answer.timeline}});
  if (database) {
    const std::string hash =
        context.loader.scenario(arguments.request.scenario, arguments.request.overrides)
            .config_hash;
    database->store({database->next_point(), hash, "", "ok", "", answer.json});
  }
  if (arguments.json != "-") std::cout << answer.page;
}

struct CapacityArguments {
  CapacityRequest request;
  std::vector<std::string> overrides;
  std::string tolerance;
  std::string json;
  std::string csv;
  bool map = false;
  std::vector<std::int64_t> contexts;
  std::vector<std::int64_t> users;
};

/// Throws ConfigError for options that do not go together.
void check(const CapacityArguments& asked) {
  if (asked.map && (asked.request.curve || !asked.csv.empty() || !asked.tolerance.empty())) {
    throw ConfigError("--map runs no loads; leave out --curve, --csv and --tolerance");
  }
  if (!asked.map && !(asked.contexts.empty() && asked.users.empty())) {
    throw ConfigError("--contexts and --users are for --map; write it too, or leave them out");
  }
}

CapacityAnswer answer_of(const Context& context, CapacityArguments& asked) {
  check(asked);
  asked.request.overrides = parse_overrides(asked.overrides);
  if (asked.map) {
    return map_of(context, {asked.request.scenarios, asked.request.overrides, asked.contexts,
                            asked.users, asked.request.store});
  }
  if (!asked.csv.empty()) asked.request.curve = true;
  if (!asked.tolerance.empty()) {
    asked.request.tolerance = share_of("--tolerance", asked.tolerance, 1);
  }
  return capacity_of(context, asked.request);
}

struct StepArguments {
  StepRequest request;
  std::vector<std::string> overrides;
  std::string json;
};

}  // namespace

std::string default_store() {
  if (const char* cache = std::getenv("XDG_CACHE_HOME"); cache != nullptr && *cache != '\0') {
    return std::string(cache) + "/tandem";
  }
  if (const char* home = std::getenv("HOME"); home != nullptr && *home != '\0') {
    return std::string(home) + "/.cache/tandem";
  }
  return "none";
}

void add_run(CLI::App& app, Session& session) {
  auto arguments = std::make_shared<RunArguments>();
  RunRequest& request = arguments->request;
  request.store = default_store();
  CLI::App* command = app.add_subcommand("run", "Simulates a scenario");
  command->add_option("scenario", request.scenario, "Scenario file or name")->required();
  command->add_option("--set", arguments->overrides, "path=value, repeatable");
  command->add_option("--fidelity", request.fidelity, "cycle or analytical")
      ->check(CLI::IsMember({"cycle", "analytical"}));
  command->add_flag("--exact", request.exact, "Simulate every distinct step");
  command->add_flag("--all-ranks", request.all_ranks,
                    "Simulate every chip of a gang instead of one of each kind");
  command->add_option("--perturb", arguments->perturbation,
                      "Draw the time of every step within this share of its own, e.g. 0.1%");
  command->add_option("--seed", request.seed, "Overrides the scenario's seed");
  command->add_option("--store", request.store, "Folder of reusable step results, or none");
  command->add_option("--json", arguments->json, "Write the result as JSON; - for standard output");
  command->add_option("--requests", arguments->requests, "Write one CSV row per request");
  command->add_option("--timeline", arguments->timeline, "Write a Chrome trace");
  command->add_option("--db", arguments->database, "Add the result to a SQLite database");
  command->callback([arguments, &session] { run_command(*arguments, session.context); });
}

void add_step(CLI::App& app, Session& session) {
  auto arguments = std::make_shared<StepArguments>();
  StepRequest& request = arguments->request;
  request.store = default_store();
  CLI::App* command =
      app.add_subcommand("step", "Simulates one pass of a pool of a scenario by itself");
  command->add_option("scenario", request.scenario, "Scenario file or name")->required();
  command->add_option("--set", arguments->overrides, "path=value, repeatable");
  command->add_option("--pool", request.pool, "prefill or decode")
      ->check(CLI::IsMember({"prefill", "decode"}));
  command->add_option("--requests", request.requests, "Requests of the pass")->required();
  command->add_option("--new", request.new_tokens, "Tokens of each that are computed");
  command->add_option("--cached", request.cached, "Tokens of each whose KV is there");
  command->add_flag("--all-ranks", request.all_ranks,
                    "Simulate every chip of a gang instead of one of each kind");
  command->add_option("--store", request.store, "Folder of reusable step results, or none");
  command->add_option("--json", arguments->json, "Write the result as JSON; - for standard output");
  command->callback([arguments, &session] {
    arguments->request.overrides = parse_overrides(arguments->overrides);
    const StepAnswer answer = step_of(session.context, arguments->request);
    if (!arguments->json.empty()) {
      write_output(arguments->json, [&](std::ostream& out) { out << answer.json; });
    }
    if (arguments->json != "-") std::cout << answer.page;
  });
}

void add_capacity(CLI::App& app, Session& session) {
  auto arguments = std::make_shared<CapacityArguments>();
  CapacityRequest& request = arguments->request;
  request.store = default_store();
  CLI::App* command = app.add_subcommand(
      "capacity", "Finds the highest load within the SLO, several scenarios side by side");
  command->add_option("scenarios", request.scenarios, "Scenario files or names")->required();
  command->add_option("--set", arguments->overrides, "path=value, repeatable");
  command->add_flag("--curve", request.curve, "Throughput against interactivity over the load");
  command->add_flag("--map", arguments->map,
                    "Instead: which users fit at which context, and their tokens per second");
  command->add_option("--contexts", arguments->contexts, "Of the map: tokens, e.g. 1024,8192")
      ->delimiter(',');
  command->add_option("--users", arguments->users, "Of the map, e.g. 1,16,256")->delimiter(',');
  command->add_option("--tolerance", arguments->tolerance,
                      "Share of the highest load within which the search ends; default 2%");
  command->add_option("--store", request.store, "Folder of reusable step results, or none");
  command->add_option("--json", arguments->json, "Write the result as JSON; - for standard output");
  command->add_option("--csv", arguments->csv, "Write the curves as a table, one row per load");
  command->callback([arguments, &session] {
    const CapacityAnswer answer = answer_of(session.context, *arguments);
    write_outputs({{arguments->json, answer.json}, {arguments->csv, answer.csv}});
    if (arguments->json != "-") std::cout << answer.page;
  });
}

}  // namespace tandem::entry
