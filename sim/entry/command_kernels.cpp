#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>
#include <memory>
#include <ostream>

#include "sim/core/diagnostics.hpp"
#include "sim/entry/commands.hpp"
#include "sim/entry/kernel_table.hpp"

namespace tandem::entry {
namespace {

struct KernelsArguments {
  std::string chip;
  std::string op;
  std::string csv;
  std::string out;
  std::string software = "generic";
  std::string fidelity = "cycle";
  std::string store;
  std::vector<std::string> overrides;
  bool is_sustained = false;
};

/// Overrides of the software layer ("software.KEY"), or of the chip (all others).
std::vector<Override> overrides_of(const KernelsArguments& arguments, bool of_software) {
  constexpr std::string_view prefix = "software.";
  std::vector<Override> own;
  for (Override change : parse_overrides(arguments.overrides)) {
    if (change.path.starts_with(prefix) != of_software) continue;
    if (of_software) change.path.erase(0, prefix.size());
    own.push_back(std::move(change));
  }
  return own;
}

std::unique_ptr<ChipModel> chip_model(const Context& context, const Chip& chip,
                                      const Software& software) {
  for (const ChipModelEntry& entry : context.catalogue) {
    if (entry.name == chip.model) return entry.make(chip, software);
  }
  throw ConfigError(fmt::format("no hardware model is called '{}'", chip.model));
}

/// The costs of all rows; those that no model covers go to the sink with their place.
std::vector<KernelCost> costs_of(const ChipModel& model, const std::vector<KernelRun>& rows,
                                 const CsvTable& table, DiagnosticSink& sink) {
  Progress progress("kernels");
  std::vector<KernelCost> costs(rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    try {
      costs[i] = model.simulate_run(rows[i]);
    } catch (const ModelError& error) {
      sink.report(table.place(i, 0), error.what());
    }
    if (i % 64 == 0) progress.update(fmt::format("{} of {} rows", i, rows.size()));
  }
  return costs;
}

/// Says where powers stand above the board's limit: the governor would react, given time.
void warn_of_brief_power(const Chip& chip, const std::vector<KernelCost>& costs) {
  if (!chip.parameters.has("tdp")) return;
  const double limit = chip.parameters.value("tdp");
  const auto above = std::count_if(costs.begin(), costs.end(), [&](const KernelCost& cost) {
    return cost.power.count() > limit;
  });
  if (above == 0) return;
  std::cerr << fmt::format(
      "note: {} of {} rows draw more than the board's {:.6g} W: figures of a run too short for the "
      "governor to react; --sustained gives those of a long one\n",
      above, costs.size(), limit);
}

/// Watts; empty where the chip does not say.
std::string power_cell(Watts power) {
  return power.count() > 0 ? fmt::format("{:.6g}", power.count()) : std::string{};
}

void predict(const KernelsArguments& arguments, const Context& context) {
  const CsvTable table(arguments.csv, read_file(arguments.csv));
  const Software software =
      context.loader.software(arguments.software, overrides_of(arguments, true));
  DiagnosticSink sink;
  std::vector<KernelRun> rows = kernel_rows(table, arguments.op, software, sink);
  if (arguments.is_sustained) {
    for (KernelRun& row : rows) row.sustained = true;
  }
  const Chip chip = context.loader.chip(arguments.chip, overrides_of(arguments, false));
  const auto model = chip_model(context, chip, software);
  const std::vector<KernelCost> costs = costs_of(*model, rows, table, sink);
  sink.throw_if_any();
  const bool is_cycle = arguments.fidelity == "cycle";
  std::string text;
  for (const std::string& name : table.header()) text += csv_quoted(name) + ",";
  text += "predicted_ms,bound_ms,predicted_w,skipped\n";
  for (std::size_t i = 0; i < costs.size(); ++i) {
    const KernelCost& cost = costs[i];
    for (std::size_t c = 0; c < table.header().size(); ++c) {
      text += csv_quoted(table.cell(i, c)) + ",";
    }
    text += fmt::format(
        "{:.9g},{:.9g},{},{:.4g}\n", to_milliseconds(is_cycle ? cost.time : cost.floor),
        to_milliseconds(cost.floor), power_cell(cost.power), is_cycle ? cost.skipped_share() : 0);
  }
  write_output(arguments.out, [&](std::ostream& out) { out << text; });
  warn_of_brief_power(chip, costs);
}

}  // namespace

void add_kernels(CLI::App& app, Session& session) {
  auto arguments = std::make_shared<KernelsArguments>();
  CLI::App* command =
      app.add_subcommand("kernels", "Predicts the time of single kernels, one per CSV row");
  command->add_option("--chip", arguments->chip, "Chip name")->required();
  command->add_option("--op", arguments->op, "Operator: see 'tandem list operators'")->required();
  command->add_option("--csv", arguments->csv, "Input table")->required();
  command->add_option("--out", arguments->out, "Output table; - for standard output")->required();
  command->add_option("--software", arguments->software, "Software layer");
  command->add_option("--set", arguments->overrides,
                      "KEY=VALUE of the chip, software.KEY=VALUE of the software layer");
  command->add_option("--fidelity", arguments->fidelity, "cycle or analytical")
      ->check(CLI::IsMember({"cycle", "analytical"}));
  command->add_flag("--sustained", arguments->is_sustained,
                    "Rows are repeated until the power governor has settled: the clock falls where "
                    "the board's limit asks for it");
  command->add_option("--store", arguments->store,
                      "Accepted like everywhere; single kernels are not stored");
  command->callback([arguments, &session] { predict(*arguments, session.context); });
}

}  // namespace tandem::entry
