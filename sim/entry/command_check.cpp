#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>
#include <ostream>

#include "sim/core/diagnostics.hpp"
#include "sim/entry/checks/baseline_check.hpp"
#include "sim/entry/commands.hpp"

namespace tandem::entry {
namespace {

struct CheckArguments {
  std::string baseline;
  std::string junit;
  std::string reason;
  std::string store = "none";
  bool update = false;
};

void update_file(const Baseline& baseline, const std::vector<EntryOutcome>& outcomes,
                 const std::string& reason) {
  const auto [next, moved] = updated(baseline, outcomes, reason);
  const std::string text = baseline_text(next);
  write_output(baseline.file, [&](std::ostream& out) { out << text; });
  std::cout << moved.size() << " figures updated in " << baseline.file << '\n';
  for (const std::string& line : moved) std::cout << "- " << line << " (" << reason << ")\n";
}

/// All entries' at once, when their page is printed: nothing is updated then.
void throw_refusals(const std::vector<EntryOutcome>& outcomes) {
  std::vector<Diagnostic> all;
  for (const EntryOutcome& outcome : outcomes) {
    all.insert(all.end(), outcome.refusals.begin(), outcome.refusals.end());
  }
  if (!all.empty()) throw ConfigError(std::move(all));
}

int run_check(const CheckArguments& arguments, const Context& context) {
  if (arguments.update && arguments.reason.empty()) {
    throw ConfigError("--update needs --reason TEXT: why did the figures move?");
  }
  const Baseline baseline = read_baseline(context.loader.roots(), arguments.baseline);
  const std::vector<EntryOutcome> outcomes = check_baseline(baseline, arguments.store, context);
  std::cout << check_page(outcomes);
  if (!arguments.junit.empty()) {
    write_output(arguments.junit, [&](std::ostream& out) { out << junit_text(outcomes); });
  }
  throw_refusals(outcomes);
  if (arguments.update) {
    update_file(baseline, outcomes, arguments.reason);
    return good;
  }
  for (const EntryOutcome& outcome : outcomes) {
    if (outcome.moved() > 0) return check_failed;
  }
  return good;
}

}  // namespace

void add_check(CLI::App& app, Session& session) {
  auto arguments = std::make_shared<CheckArguments>();
  CLI::App* command = app.add_subcommand(
      "check",
      "Compares scenarios with the figures of a baseline and names what moved them; exit 1 when a "
      "figure left its tolerance");
  command->add_option("baseline", arguments->baseline, "Baseline file or name")->required();
  command->add_option("--junit", arguments->junit, "Write the outcome as JUnit XML");
  command->add_option("--store", arguments->store, "Folder of reusable step results, or none");
  command->add_flag("--update", arguments->update,
                    "Write the figures found into the file and why into its history");
  command->add_option("--reason", arguments->reason, "Why the figures moved; needed to update");
  command->callback(
      [arguments, &session] { session.exit_code = run_check(*arguments, session.context); });
}

}  // namespace tandem::entry
