#include <CLI/CLI.hpp>

#include "sim/entry/commands.hpp"

namespace tandem::entry {

void add_lpu(CLI::App& app, Session&) {
  app.add_subcommand("lpu", "Programs of LPUs: compile, verify, run, list, assemble");
}

}  // namespace tandem::entry
