#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>
#include <memory>

#include "sim/core/diagnostics.hpp"
#include "sim/entry/commands.hpp"
#include "sim/entry/describe_network.hpp"
#include "sim/entry/describe_page.hpp"
#include "sim/entry/kernel_table.hpp"

namespace tandem::entry {
namespace {

struct DescribeArguments {
  std::string name;
  bool fitted_only = false;
  bool reference = false;
  DescribedPasses passes;
};

bool knows(const Loader& loader, const std::string& kind, const std::string& name) {
  const std::vector<std::string> names = loader.list(kind);
  return std::find(names.begin(), names.end(), name) != names.end();
}

std::string page_of(const Context& context, const DescribeArguments& arguments) {
  const Loader& loader = context.loader;
  const std::string& name = arguments.name;
  if (knows(loader, "chips", name)) {
    return describe_parameters(name, loader.chip(name).parameters, arguments.fitted_only);
  }
  if (knows(loader, "links", name)) {
    return describe_parameters(name, loader.link(name).parameters, arguments.fitted_only);
  }
  if (knows(loader, "prices", name)) {
    return describe_parameters(name, loader.prices(name).parameters, arguments.fitted_only);
  }
  if (knows(loader, "software", name)) {
    return describe_parameters(name, loader.software(name).parameters, arguments.fitted_only);
  }
  if (knows(loader, "systems", name)) return describe_system(loader.system(name));
  if (knows(loader, "models", name) || name.ends_with(".json")) {
    return describe_network(loader.network(name), arguments.passes);
  }
  if (knows(loader, "scenarios", name) || name.ends_with(".yaml")) {
    return describe_scenario(loader.scenario(name), context.catalogue);
  }
  std::vector<std::string> all;
  for (const char* kind : {"chips", "links", "systems", "models", "scenarios", "prices"}) {
    const std::vector<std::string> names = loader.list(kind);
    all.insert(all.end(), names.begin(), names.end());
  }
  const std::string near = closest_match(name, all);
  throw ConfigError(fmt::format("nothing is called '{}'{}", name,
                                near.empty() ? "; see 'tandem list chips|systems|models|scenarios'"
                                             : fmt::format("; did you mean '{}'?", near)));
}

}  // namespace

void add_describe(CLI::App& app, Session& session) {
  auto arguments = std::make_shared<DescribeArguments>();
  CLI::App* command = app.add_subcommand(
      "describe", "Prints resolved values with their sources, and how a scenario fits its chips");
  CLI::Option* name = command->add_option("name", arguments->name,
                                          "Chip, link, system, model, scenario, prices, software");
  command->add_flag("--fitted", arguments->fitted_only, "Only numbers that were fitted");
  command
      ->add_flag("--reference", arguments->reference,
                 "The reference page of all configuration keys, as Markdown")
      ->excludes(name);
  command->add_option("--batch", arguments->passes.batch, "Model: sequences that decode")
      ->check(CLI::Range(1, 65536));
  command->add_option("--context", arguments->passes.context, "Model: tokens that each attends to")
      ->check(CLI::PositiveNumber);
  command->add_option("--prompt", arguments->passes.prompt, "Model: tokens of the prefill pass")
      ->check(CLI::PositiveNumber);
  command->callback([arguments, &session] {
    if (arguments->reference) {
      std::cout << config_reference(schemas_of(session.context.catalogue));
    } else if (arguments->name.empty()) {
      throw ConfigError("'tandem describe' needs a name; see 'tandem list chips'");
    } else {
      std::cout << page_of(session.context, *arguments);
    }
  });
}

void add_list(CLI::App& app, Session& session) {
  auto kind = std::make_shared<std::string>();
  CLI::App* command = app.add_subcommand("list", "Lists what Tandem knows by name");
  command->add_option("kind", *kind, "chips, systems, models, scenarios, links or operators")
      ->required();
  command->callback([kind, &session] {
    const std::vector<std::string> names =
        *kind == "operators" ? kernel_operators() : session.context.loader.list(*kind);
    for (const std::string& name : names) std::cout << name << '\n';
  });
}

}  // namespace tandem::entry
