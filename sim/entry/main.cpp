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

/// The command that was being read, subcommands included.
const CLI::App& deepest(const CLI::App& app) {
  const std::vector<CLI::App*> chosen = app.get_subcommands();
  return chosen.empty() ? app : deepest(*chosen.back());
}

/// "run": the words behind `tandem` that lead to a command.
std::string words_of(const CLI::App& command) {
  if (command.get_parent() == nullptr) return "";
  return words_of(*command.get_parent()) + " " + command.get_name();
}

/// What CLI11 says, for an option that is not known with the nearest one that is.
std::string complaint_of(const CLI::App& app, const CLI::ParseError& error) {
  const CLI::App& command = deepest(app);
  const std::string help = "; see 'tandem" + words_of(command) + " --help'";
  if (dynamic_cast<const CLI::ExtrasError*>(&error) == nullptr) return error.what() + help;
  std::vector<std::string> known;
  for (const CLI::Option* option : command.get_options()) {
    for (const std::string& name : option->get_lnames()) known.push_back("--" + name);
  }
  for (const std::string& extra : app.remaining(true)) {
    const std::string word = extra.substr(0, extra.find('='));
    if (!word.starts_with("--")) continue;
    const std::string near = closest_match(word, known);
    return "no option '" + word + "' of 'tandem" + words_of(command) + "'" +
           (near.empty() ? help : "; did you mean '" + near + "'?");
  }
  return error.what() + help;
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
  add_plan(app, session);
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
    std::cerr << "error: " << complaint_of(app, error) << '\n';
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
