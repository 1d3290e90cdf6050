// The tandem executable: parses the command line, runs one command, turns errors into exit codes.
#include <CLI/CLI.hpp>
#include <exception>
#include <iostream>

#include "sim/core/diagnostics.hpp"
#include "sim/entry/commands.hpp"
#include "sim/entry/failure.hpp"

namespace {

using namespace tandem;
using namespace tandem::entry;

/// CLI11 takes an unknown first word for a missing subcommand; say what is meant instead.
void require_known_command(const CLI::App& app, const std::string& word) {
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    if (command->get_name() == word) return;
    names.push_back(command->get_name());
  }
  const std::string near = closest_match(word, names);
  throw ConfigError("no command '" + word + "'" +
                    (near.empty() ? "; see 'tandem --help'" : "; did you mean '" + near + "'?"));
}

int run_command_line(int argc, char** argv) {
  CLI::App app("Simulates inference racks in which GPUs and LPUs serve language models together.",
               "tandem");
  app.require_subcommand(1);
  app.set_version_flag("--version", "tandem 0.1.0");
  Session session{make_context(), good};
  add_run(app, session);
  add_capacity(app, session);
  add_step(app, session);
  add_generate(app, session);
  add_score(app, session);
  add_kernels(app, session);
  add_collectives(app, session);
  add_validate(app, session);
  add_lpu(app, session);
  add_sweep(app, session);
  add_check(app, session);
  add_report(app, session);
  add_completion(app, session);
  add_describe(app, session);
  add_list(app, session);
  if (argc > 1 && argv[1][0] != '-') require_known_command(app, argv[1]);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help, --version
    std::cerr << "error: " << error.what() << "; see 'tandem --help'\n";
    return bad_input;
  }
  return session.exit_code;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run_command_line(argc, argv);
  } catch (...) {
    return report_failure(std::current_exception(), std::cerr);
  }
}
