#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>
#include <ostream>

#include "sim/entry/api.hpp"
#include "sim/entry/commands.hpp"

namespace tandem::entry {
namespace {

struct KernelsArguments {
  KernelsRequest request;
  std::string out;
  std::string store;
  std::vector<std::string> overrides;
};

void predict(KernelsArguments& arguments, const Context& context) {
  KernelsRequest& request = arguments.request;
  request.overrides = parse_overrides(arguments.overrides);
  request.csv = read_file(request.csv_name);
  const KernelsAnswer answer = kernels_of(context, request);
  write_output(arguments.out, [&](std::ostream& out) { out << answer.csv; });
  std::cerr << answer.note;
}

}  // namespace

void add_kernels(CLI::App& app, Session& session) {
  auto arguments = std::make_shared<KernelsArguments>();
  KernelsRequest& request = arguments->request;
  CLI::App* command =
      app.add_subcommand("kernels", "Predicts the time of single kernels, one per CSV row");
  command->add_option("--chip", request.chip, "Chip name")->required();
  command->add_option("--op", request.op, "Operator: see 'tandem list operators'")->required();
  command->add_option("--csv", request.csv_name, "Input table")->required();
  command->add_option("--out", arguments->out, "Output table; - for standard output")->required();
  command->add_option("--software", request.software, "Software layer");
  command->add_option("--set", arguments->overrides,
                      "KEY=VALUE of the chip, software.KEY=VALUE of the software layer");
  command->add_option("--fidelity", request.fidelity, "cycle or analytical")
      ->check(CLI::IsMember({"cycle", "analytical"}));
  command->add_flag("--sustained", request.is_sustained,
                    "Rows are repeated until the power governor has settled: the clock falls where "
                    "the board's limit asks for it");
  command->add_option("--store", arguments->store,
                      "Accepted like everywhere; single kernels are not stored");
  command->callback([arguments, &session] { predict(*arguments, session.context); });
}

}  // namespace tandem::entry
