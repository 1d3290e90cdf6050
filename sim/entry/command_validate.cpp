#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>

#include "sim/core/diagnostics.hpp"
#include "sim/entry/commands.hpp"
#include "sim/entry/validation/validation.hpp"

namespace tandem::entry {
namespace {

struct ValidateArguments {
  ValidationRequest request;
  std::int64_t sample = 0;
  std::vector<std::string> overrides;
  std::string fidelity = "cycle";
  std::string json;
  std::string rows;
  std::string store;
};

void run(ValidateArguments& arguments, const Context& context, bool has_sample) {
  ValidationRequest& request = arguments.request;
  if (has_sample && arguments.sample < 1) throw ConfigError("--sample must be at least 1");
  if (request.predictor.workers < 1) throw ConfigError("--workers must be at least 1");
  if (has_sample) request.sample.rows = arguments.sample;
  request.predictor.is_cycle = arguments.fidelity == "cycle";
  request.predictor.overrides = parse_overrides(arguments.overrides);
  request.with_rows = !arguments.rows.empty();
  if (!arguments.store.empty() && arguments.store != "none") request.store = arguments.store;
  const ValidationAnswer answer = validate(context, request);
  write_outputs({{arguments.json, arguments.json.empty() ? "" : validation_json(answer)},
                 {arguments.rows, answer.rows_csv}});
  if (arguments.json != "-" && arguments.rows != "-") std::cout << validation_page(answer);
}

}  // namespace

void add_validate(CLI::App& app, Session& session) {
  auto arguments = std::make_shared<ValidateArguments>();
  ValidationRequest& request = arguments->request;
  CLI::App* command = app.add_subcommand(
      "validate", "Compares predictions with the measured tables that DIR/manifest.yaml describes");
  command->add_option("--data", request.folder, "Folder with manifest.yaml")->required();
  CLI::Option* sample = command->add_option("--sample", arguments->sample,
                                            "Rows drawn per table and element type; all without");
  command->add_option("--seed", request.sample.seed, "Seed of the sample");
  command->add_option("--only", request.only,
                      "Keep entries whose file, op or chip contains this text");
  command->add_option(
      "--set", arguments->overrides,
      "chips.NAME.KEY=value, links.NAME.KEY=value, software.KEY=value, or KEY=value "
      "for every chip; "
      "repeatable");
  command->add_option("--software", request.predictor.software,
                      "Software layer of all tables, or none; else the one that fits each table");
  command->add_option("--fidelity", arguments->fidelity, "cycle or analytical")
      ->check(CLI::IsMember({"cycle", "analytical"}));
  command->add_option("--workers", request.predictor.workers, "Threads");
  command->add_option("--json", arguments->json,
                      "Write the figures as JSON; - for standard output");
  command->add_option("--rows", arguments->rows,
                      "Write one CSV row per measured row; figures of services with their bands");
  command->add_option("--lines", request.lines, "Lines of tables of services to keep")
      ->delimiter(',');
  command->add_flag("--map", request.maps_only,
                    "Set up the scenarios of rows of whole services without running them");
  command->add_option("--store", arguments->store,
                      "Folder of reusable step results, for rows of whole services; or none");
  command->callback(
      [arguments, sample, &session] { run(*arguments, session.context, sample->count() > 0); });
}

}  // namespace tandem::entry
