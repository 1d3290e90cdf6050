#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>
#include <ostream>

#include "sim/entry/commands.hpp"
#include "sim/entry/report.hpp"

namespace tandem::entry {
namespace {

struct ReportArguments {
  std::string input;
  std::string output;
};

}  // namespace

void add_report(CLI::App& app, Session& session) {
  auto arguments = std::make_shared<ReportArguments>();
  CLI::App* command =
      app.add_subcommand("report", "Writes a result as one HTML page that works offline");
  command
      ->add_option("input", arguments->input, "JSON of run or capacity, or the database of a sweep")
      ->required();
  command->add_option("-o,--output", arguments->output, "The page; - for standard output")
      ->required();
  command->callback([arguments, &session] {
    const std::string page = report_html(read_report_data(arguments->input));
    write_output(arguments->output, [&](std::ostream& out) { out << page; });
    session.exit_code = good;
  });
}

}  // namespace tandem::entry
