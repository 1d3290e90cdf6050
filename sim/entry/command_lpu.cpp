#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <iostream>
#include <memory>
#include <sstream>

#include "models/lpu/assembler.hpp"
#include "models/lpu/chip_params.hpp"
#include "models/lpu/listing.hpp"
#include "sim/core/diagnostics.hpp"
#include "sim/core/timeline.hpp"
#include "sim/entry/commands.hpp"
#include "sim/entry/describe_page.hpp"
#include "sim/entry/lpu_fit.hpp"
#include "sim/entry/lpu_points.hpp"
#include "sim/entry/lpu_products.hpp"
#include "sim/entry/lpu_tools.hpp"
#include "sim/entry/lpu_view.hpp"

namespace tandem::entry {
namespace {

struct LpuArguments {
  std::string input;
  std::string output;
  std::string chip = "lpu_v1";
  std::vector<std::string> overrides;
  std::vector<std::string> registers;
  std::string timeline;
  CompileOptions compile;
};

void write_bytes(const std::string& path, const std::vector<std::uint8_t>& bytes) {
  write_output(path, [&](std::ostream& out) {
    out.write(reinterpret_cast<const char*>(bytes.data()),
              static_cast<std::streamsize>(bytes.size()));
  });
}

void write_or_print(const std::string& path, const std::string& text) {
  write_output(path.empty() ? "-" : path, [&](std::ostream& out) { out << text; });
}

void compile(const LpuArguments& arguments, const Context& context) {
  const Scenario scenario =
      context.loader.scenario(arguments.input, parse_overrides(arguments.overrides));
  require_one_model(scenario);
  if (scenario.model.layers() == 0) {
    throw ConfigError(
        fmt::format("scenario '{}' takes its model from a checkpoint; name one with "
                    "--set model=little_tales",
                    scenario.name));
  }
  const auto parts = compile_scenario(scenario, arguments.compile);
  std::error_code failure;
  std::filesystem::create_directories(arguments.output, failure);
  if (failure) throw ConfigError(fmt::format("cannot make folder '{}'", arguments.output));
  // Stages of an earlier scenario would look like this one's.
  for (std::size_t old = parts.size();; ++old) {
    const std::string file = fmt::format("{}/stage{}.lpu", arguments.output, old);
    if (!std::filesystem::remove(file, failure)) break;
  }
  const PoolPlacement& placement = lpu_placement(scenario);
  const std::string& chip = scenario.system.group(placement.pool).chip;
  std::cout << assumption_note(scenario.system.chips.at(chip));
  for (const CompiledPart& part : parts) {
    write_bytes(arguments.output + "/" + part.file, part.bytes);
    std::cout << part.summary << '\n' << part.explanation << part.map;
  }
}

int verify(const LpuArguments& arguments, const Context& context) {
  const std::vector<std::string> hazards = hazards_of(open_program(context, arguments.input));
  for (const std::string& hazard : hazards) std::cout << hazard << '\n';
  std::cout << fmt::format("{} hazards\n", hazards.size());
  return hazards.empty() ? good : check_failed;
}

void assemble(const LpuArguments& arguments, const Context& context) {
  const lpu::Geometry geometry = lpu::geometry_of(lpu_named(context, arguments.chip));
  lpu::ProgramImage image = lpu::assemble(read_file(arguments.input), geometry, arguments.input);
  image.program.chip = arguments.chip;
  write_bytes(arguments.output, lpu::encode_program(image, geometry));
}

std::string listing(const OpenProgram& program) {
  const std::string note = program.note.empty() ? "" : "; " + program.note;
  return note + lpu::list_program(program.image, program.geometry);
}

void add_fit(CLI::App* group, Session& session) {
  auto question = std::make_shared<RackQuestion>();
  CLI::App* command = group->add_subcommand(
      "fit", "How many chips and racks hold a model, and its shortest step by closed form");
  command->add_option("model", question->model, "Model file or name")->required();
  command->add_option("--fabric", question->fabric, "Fabric file or name");
  command->add_option("--chip", question->chip, "Chip file or name: another one on that fabric");
  command->add_option("--context", question->fit.context, "Tokens per request");
  command->add_option("--requests", question->fit.requests, "Requests in flight");
  command->add_option("--weight-bytes", question->fit.weight_bytes, "Per weight: 1 or 2");
  command->add_option("--kv-bytes", question->fit.kv_bytes, "Per element of K and V: 1 or 2");
  command->add_option("--reserve", question->fit.reserve,
                      "Share of the SRAM for programs, tables and buffers");
  command->add_option("--prices", question->prices, "Price file or name");
  command->add_flag("--compiled", question->compiled,
                    "Also compile every partition and run a token on it (takes a minute)");
  command->callback([question, &session] { std::cout << fit_page(session.context, *question); });
}

void add_published(CLI::App* group, Session& session) {
  CLI::App* command = group->add_subcommand(
      "published", "Published speeds of LPUs beside the closed form, assumptions swept");
  auto tokens = std::make_shared<std::string>();
  auto products = std::make_shared<std::string>();
  command->add_option("--tokens", *tokens, "Table (default: published/lpu_tokens.csv)");
  command->add_option("--products", *products, "Table (default: published/lpu_products.csv)");
  command->callback([tokens, products, &session] {
    const std::string folder = session.context.loader.roots().workloads + "/published/";
    const auto file = [&](const std::string& given, const char* usual) {
      return given.empty() ? folder + usual : given;
    };
    const std::string page = points_page(session.context, file(*tokens, "lpu_tokens.csv")) +
                             products_section(session.context, file(*products, "lpu_products.csv"));
    std::cout << page;
  });
}

CLI::App* tool(CLI::App* group, const char* name, const char* doc, const char* input,
               const std::shared_ptr<LpuArguments>& arguments, bool needs_output) {
  CLI::App* command = group->add_subcommand(name, doc);
  command->add_option("input", arguments->input, input)->required();
  command->add_option("-o,--output", arguments->output, "Where to write")->required(needs_output);
  return command;
}

void add_registers(CLI::App* command, const std::shared_ptr<LpuArguments>& arguments) {
  command->add_option("--register", arguments->registers,
                      "rN=VALUE, repeatable: host registers, which count iterations of loops");
}
lpu::HostRegisters registers_of(const LpuArguments& arguments, const OpenProgram& program) {
  lpu::HostRegisters registers{};
  for (const std::string& text : arguments.registers) set_register(text, program, registers);
  return registers;
}

void add_run(CLI::App* group, Session& session) {
  auto arguments = std::make_shared<LpuArguments>();
  CLI::App* command = tool(
      group, "run", "Runs a program (zeros on its links): cycles, counts; -o: final memory too",
      "Program file", arguments, false);
  command->add_option("--timeline", arguments->timeline,
                      "Write a Chrome trace with a track for every queue");
  add_registers(command, arguments);
  command->callback([arguments, &session] {
    const OpenProgram program = open_program(session.context, arguments->input);
    const bool has_output = !arguments->output.empty();
    TimelineRecorder timeline;
    std::ostringstream trace;
    const std::string text = run_program(program, registers_of(*arguments, program), has_output,
                                         arguments->timeline.empty() ? nullptr : &timeline);
    if (!arguments->timeline.empty()) timeline.write_chrome_trace(trace);
    write_outputs(
        {{arguments->timeline, trace.str()}, {has_output ? arguments->output : "-", text}});
  });
}

void add_view(CLI::App* group, Session& session) {
  auto arguments = std::make_shared<LpuArguments>();
  CLI::App* command =
      tool(group, "view", "Writes the schedule as one HTML page: a timeline of every queue",
           "Program file", arguments, true);
  add_registers(command, arguments);
  command->callback([arguments, &session] {
    const OpenProgram program = open_program(session.context, arguments->input);
    write_or_print(arguments->output, schedule_page(program, registers_of(*arguments, program)));
  });
}

}  // namespace

void add_lpu(CLI::App& app, Session& session) {
  CLI::App* group = app.add_subcommand("lpu", "Programs of LPUs");
  group->require_subcommand(1);
  auto arguments = std::make_shared<LpuArguments>();

  CLI::App* compiler = tool(group, "compile", "Compiles a scenario's stages into programs",
                            "Scenario file or name", arguments, true);
  compiler->add_option("--tokens", arguments->compile.tokens,
                       "Tokens of a pass: 1, 2, 4 ... as the pool's longest request leaves room");
  compiler->add_flag("--explain", arguments->compile.explain,
                     "What bounds every operator, against a floor");
  compiler->add_flag("--map", arguments->compile.map, "What lies where in SRAM");
  compiler->add_option("--set", arguments->overrides, "path=value, repeatable");
  compiler->callback([arguments, &session] { compile(*arguments, session.context); });

  tool(group, "verify", "Checks a program for hazards H1 to H10; exit 1 when it has any",
       "Program file", arguments, false)
      ->callback(
          [arguments, &session] { session.exit_code = verify(*arguments, session.context); });
  add_run(group, session);
  tool(group, "list", "Prints a program as assembly with cycles", "Program file", arguments, false)
      ->callback([arguments, &session] {
        const OpenProgram program = open_program(session.context, arguments->input);
        write_or_print(arguments->output, listing(program));
      });
  add_view(group, session);
  CLI::App* assembler =
      tool(group, "asm", "Assembles a program", "Assembly file (.lpuasm)", arguments, true);
  assembler->add_option("--chip", arguments->chip, "Chip the program is for");
  assembler->callback([arguments, &session] { assemble(*arguments, session.context); });
  add_fit(group, session);
  add_published(group, session);
}

}  // namespace tandem::entry
