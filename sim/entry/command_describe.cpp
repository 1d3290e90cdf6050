#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>
#include <memory>

#include "models/catalog/catalog.hpp"
#include "sim/config/yaml_reader.hpp"
#include "sim/core/diagnostics.hpp"
#include "sim/entry/commands.hpp"
#include "sim/entry/describe_network.hpp"
#include "sim/entry/describe_page.hpp"
#include "sim/entry/describe_prices.hpp"
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

/// The list that a description file belongs to by its `kind:`; empty where it does not say.
std::string kind_of_file(const std::string& path) {
  if (path.ends_with(".json")) return "models";
  config::Problems ignored;  // whoever reads the file reports them
  const config::Tree tree = config::read_yaml(path, ignored);
  const config::Tree* word = tree.is_map() ? tree.find("kind") : nullptr;
  if (word == nullptr || !word->is_scalar()) return "";
  for (const char* kind : {"chip", "link", "system", "model"}) {
    if (word->text == kind) return word->text + "s";
  }
  return word->text == "scenario" ? "scenarios" : word->text;
}

/// What a name or path stands for: "chips", "models"; empty where it is unknown.
std::string kind_of(const Loader& loader, const std::string& name) {
  for (const char* kind :
       {"chips", "links", "prices", "software", "systems", "models", "scenarios"}) {
    if (knows(loader, kind, name)) return kind;
  }
  if (name.ends_with(".json") || name.ends_with(".yaml") || name.ends_with(".yml")) {
    const std::string kind = kind_of_file(name);
    return kind.empty() ? "scenarios" : kind;
  }
  return "";
}

std::string page_of(const Context& context, const DescribeArguments& arguments) {
  const Loader& loader = context.loader;
  const std::string& name = arguments.name;
  const std::string kind = kind_of(loader, name);
  const auto table = [&](const auto& described) {
    return describe_parameters(described.name, described.parameters, arguments.fitted_only);
  };
  if (kind == "chips") {
    const Chip chip = loader.chip(name);
    const ParameterSet shared = shared_constants(chip.model);
    if (!arguments.fitted_only || shared.all().empty()) return table(chip);
    return table(chip) + describe_parameters("shared by all chips", shared, true);
  }
  if (kind == "links") return table(loader.link(name));
  if (kind == "prices") {
    const Prices prices = loader.prices(name);
    return arguments.fitted_only ? table(prices) : table(prices) + describe_hours(prices);
  }
  if (kind == "software") return table(loader.software(name));
  if (kind == "systems") return describe_system(loader.system(name));
  if (kind == "models") return describe_network(loader.network(name), arguments.passes);
  if (!kind.empty()) return describe_scenario(loader.scenario(name), context.catalogue);
  std::vector<std::string> all;
  for (const char* list : {"chips", "links", "systems", "models", "scenarios", "prices"}) {
    const std::vector<std::string> names = loader.list(list);
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
  CLI::Option* name =
      command->add_option("name", arguments->name,
                          "Chip, link, system, model, scenario, prices or software, by name "
                          "or file");
  command->add_flag("--fitted", arguments->fitted_only, "Only numbers that were fitted");
  command
      ->add_flag("--reference", arguments->reference,
                 "The reference page of all configuration keys, as Markdown")
      ->excludes(name);
  command->add_option("--batch", arguments->passes.batch, "Model: sequences that decode");
  command->add_option("--context", arguments->passes.context,
                      "Model: tokens that each attends to; 2048 or the model's context");
  command->add_option("--prompt", arguments->passes.prompt,
                      "Model: tokens of the prefill pass; 2048 or the model's context");
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
