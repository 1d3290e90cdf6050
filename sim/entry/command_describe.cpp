#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>

#include "sim/core/diagnostics.hpp"
#include "sim/entry/api.hpp"
#include "sim/entry/commands.hpp"
#include "sim/entry/kernel_table.hpp"

namespace tandem::entry {
namespace {

struct DescribeArguments {
  DescribeRequest request;
  bool reference = false;
};

}  // namespace

void add_describe(CLI::App& app, Session& session) {
  auto arguments = std::make_shared<DescribeArguments>();
  CLI::App* command = app.add_subcommand(
      "describe", "Prints resolved values with their sources, and how a scenario fits its chips");
  CLI::Option* name =
      command->add_option("name", arguments->request.name,
                          "Chip, link, system, model, scenario, prices or software, by name "
                          "or file");
  command->add_flag("--fitted", arguments->request.fitted_only, "Only numbers that were fitted");
  command
      ->add_flag("--reference", arguments->reference,
                 "The reference page of all configuration keys, as Markdown")
      ->excludes(name);
  command->add_option("--batch", arguments->request.passes.batch, "Model: sequences that decode");
  command->add_option("--context", arguments->request.passes.context,
                      "Model: tokens that each attends to; 2048 or the model's context");
  command->add_option("--prompt", arguments->request.passes.prompt,
                      "Model: tokens of the prefill pass; 2048 or the model's context");
  command->callback([arguments, &session] {
    if (arguments->reference) {
      std::cout << config_reference(schemas_of(session.context.catalogue));
    } else if (arguments->request.name.empty()) {
      throw ConfigError("'tandem describe' needs a name; see 'tandem list chips'");
    } else {
      std::cout << describe_of(session.context, arguments->request).page;
    }
  });
}

void add_list(CLI::App& app, Session& session) {
  auto kind = std::make_shared<std::string>();
  CLI::App* command = app.add_subcommand("list", "Lists what Tandem knows by name");
  command
      ->add_option("kind", *kind,
                   "chips, links, fabrics, systems, prices, software, models, scenarios, traffic, "
                   "sweeps, plans, baselines or operators")
      ->required();
  command->callback([kind, &session] {
    const std::vector<std::string> names =
        *kind == "operators" ? kernel_operators() : session.context.loader.list(*kind);
    for (const std::string& name : names) std::cout << name << '\n';
  });
}

}  // namespace tandem::entry
