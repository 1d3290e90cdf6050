// The commands of the tandem executable. Each adds its subcommand to the application; its callback
// runs when the command line has been parsed and leaves the exit code in `exit_code`.
#pragma once

#include "sim/entry/context.hpp"

namespace CLI {
class App;
}

namespace tandem::entry {

/// Exit codes: 0 good, 1 a check failed, 2 the user's input is wrong, 3 our own fault.
enum ExitCode : int { good = 0, check_failed = 1, bad_input = 2, own_fault = 3 };

struct Session {
  Context context;
  int exit_code = good;
};

void add_run(CLI::App& app, Session& session);
void add_capacity(CLI::App& app, Session& session);
void add_step(CLI::App& app, Session& session);
void add_generate(CLI::App& app, Session& session);
void add_score(CLI::App& app, Session& session);
void add_kernels(CLI::App& app, Session& session);
void add_collectives(CLI::App& app, Session& session);
void add_validate(CLI::App& app, Session& session);
void add_lpu(CLI::App& app, Session& session);
void add_sweep(CLI::App& app, Session& session);
void add_check(CLI::App& app, Session& session);
void add_report(CLI::App& app, Session& session);
void add_completion(CLI::App& app, Session& session);
void add_describe(CLI::App& app, Session& session);
void add_list(CLI::App& app, Session& session);

}  // namespace tandem::entry
