#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <ostream>

#include "sim/core/diagnostics.hpp"
#include "sim/entry/commands.hpp"
#include "sim/entry/rows/collective_rows.hpp"

namespace tandem::entry {
namespace {

struct CollectivesArguments {
  std::string system;
  std::string op;
  std::string csv;
  std::string out;
  std::string entry = "library";
  std::string software = "generic";
  std::string fidelity = "cycle";
  std::string store;
  std::vector<std::string> overrides;
};

void require_columns(const CsvTable& table, const std::string& op) {
  if (!is_collective(op)) {
    throw ConfigError(fmt::format("--op '{}' is not supported; supported are {}", op,
                                  fmt::join(collective_operators(), ", ")));
  }
  DiagnosticSink sink;
  for (const std::string& column : collective_columns(op)) {
    if (table.has(column)) continue;
    const std::string near = closest_match(column, table.header());
    sink.report(table.header_place(),
                fmt::format("operation '{}' needs a column '{}'{}", op, column,
                            near.empty() ? "" : fmt::format("; is it '{}'?", near)));
  }
  sink.throw_if_any();
}

/// The answers of all rows; bad cells, and rows that cannot run, are reported together.
std::vector<CollectiveCost> answers(const CollectivesArguments& arguments, const CsvTable& table,
                                    const System& system, CollectiveModel& model) {
  CollectiveDefaults defaults;
  if (arguments.entry == "in_graph") defaults.entry = CollectiveEntry::InGraph;
  Progress progress("collectives");
  DiagnosticSink sink;
  std::vector<CollectiveCost> costs(table.rows());
  for (std::size_t i = 0; i < table.rows(); ++i) {
    NamedRow cells;
    for (std::size_t c = 0; c < table.header().size(); ++c) {
      cells[table.header()[c]] = {table.cell(i, c), table.place(i, c)};
    }
    const std::size_t before = sink.size();
    const CollectiveRow row = collective_row(arguments.op, cells, system, defaults, sink);
    if (sink.size() != before) continue;
    try {
      costs[i] = model.cost(row.ranks, row.collective);
      costs[i].floor = model.floor(row.ranks, row.collective);
    } catch (const ModelError& error) {
      sink.report(table.place(i, 0), error.what());
    }
    if (i % 16 == 0) progress.update(fmt::format("{} of {} rows", i, table.rows()));
  }
  sink.throw_if_any();
  return costs;
}

double microseconds(Picoseconds time) {
  return static_cast<double>(time.count()) / 1e6;
}

void predict_collectives(const CollectivesArguments& arguments, const Context& context) {
  const CsvTable table(arguments.csv, read_file(arguments.csv));
  require_columns(table, arguments.op);
  const System system =
      context.loader.system(arguments.system, parse_overrides(arguments.overrides));
  const auto model =
      context.make_network.collectives(system, context.loader.software(arguments.software));
  const std::vector<CollectiveCost> costs = answers(arguments, table, system, *model);
  const bool is_cycle = arguments.fidelity == "cycle";
  std::string text;
  for (const std::string& name : table.header()) text += csv_quoted(name) + ",";
  text += "predicted_us,bound_us,algorithm,protocol,limit\n";
  for (std::size_t i = 0; i < costs.size(); ++i) {
    for (std::size_t c = 0; c < table.header().size(); ++c) {
      text += csv_quoted(table.cell(i, c)) + ",";
    }
    const CollectiveCost& cost = costs[i];
    text += fmt::format("{:.9g},{:.9g},{},{},{}\n", microseconds(is_cycle ? cost.time : cost.floor),
                        microseconds(cost.floor), cost.algorithm, cost.protocol, cost.bound);
  }
  write_output(arguments.out, [&](std::ostream& out) { out << text; });
}

}  // namespace

void add_collectives(CLI::App& app, Session& session) {
  auto arguments = std::make_shared<CollectivesArguments>();
  CLI::App* command = app.add_subcommand(
      "collectives", "Predicts the time of single collectives over a system's chips, one per row");
  command->add_option("--system", arguments->system, "System name")->required();
  command->add_option("--op", arguments->op, "Operation: all_reduce, all_gather, ...")->required();
  command->add_option("--csv", arguments->csv, "Input table")->required();
  command->add_option("--out", arguments->out, "Output table; - for standard output")->required();
  command
      ->add_option("--entry", arguments->entry,
                   "Who provides it, where a row has no column 'entry': library or in_graph")
      ->check(CLI::IsMember({"library", "in_graph"}));
  command->add_option("--software", arguments->software, "Software layer");
  command->add_option("--set", arguments->overrides, "links.NAME.KEY=VALUE; repeatable");
  command->add_option("--fidelity", arguments->fidelity, "cycle or analytical")
      ->check(CLI::IsMember({"cycle", "analytical"}));
  command->add_option("--store", arguments->store,
                      "Accepted like everywhere; single collectives are not stored");
  command->callback([arguments, &session] { predict_collectives(*arguments, session.context); });
}

}  // namespace tandem::entry
