#include "sim/entry/lpu_tools.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "models/lpu/chip_model.hpp"
#include "models/lpu/chip_params.hpp"
#include "models/lpu/compiler/compiler.hpp"
#include "models/lpu/compiler/memory_map.hpp"
#include "models/lpu/machine.hpp"
#include "models/lpu/program_walk.hpp"
#include "models/lpu/stage_floor.hpp"
#include "models/lpu/stage_gang.hpp"
#include "models/lpu/verifier.hpp"
#include "sim/config/csv.hpp"
#include "sim/core/diagnostics.hpp"
#include "sim/entry/describe_page.hpp"
#include "sim/entry/lpu_explain.hpp"
#include "sim/step/pool_fit.hpp"

namespace tandem::entry {
namespace {

/// The chip name in the head of a program file: "TLPU", u32 version, u16 length, name.
std::string chip_named_by(std::span<const std::uint8_t> bytes, const std::string& path) {
  constexpr std::size_t head = 10;
  const std::string magic(
      bytes.begin(),
      bytes.begin() + static_cast<std::ptrdiff_t>(std::min<std::size_t>(4, bytes.size())));
  if (magic != "TLPU" || bytes.size() < head) {
    throw ConfigError(SourcePlace{path, 0, 0},
                      "not a program of an LPU: it must begin with 'TLPU'");
  }
  const std::size_t length = bytes[8] + std::size_t{256} * bytes[9];
  if (bytes.size() < head + length) {
    throw ConfigError(SourcePlace{path, 0, 0}, "truncated in the chip's name");
  }
  return {bytes.begin() + head, bytes.begin() + static_cast<std::ptrdiff_t>(head + length)};
}

/// Vectors of zeros for every Recv of a program, so that a stage from the middle of a pipeline
/// runs.
std::vector<lpu::LinkVector> zeros_on_links(const OpenProgram& program,
                                            const lpu::HostRegisters& registers) {
  const lpu::Geometry& geometry = program.geometry;
  std::vector<lpu::LinkVector> inbound;
  for (int link = 0; link < geometry.link_count(); ++link) {
    const int queue = geometry.c2c_queue(link);
    const auto& words = program.image.program.queues[static_cast<std::size_t>(queue)];
    lpu::QueueWalk walk(
        words, registers, queue, geometry.queue_name(queue),
        lpu::walk_settings(program.image.program, queue, geometry, program.latencies.icu_fetch));
    while (walk.state() != lpu::QueueWalk::State::Finished) {
      if (walk.state() == lpu::QueueWalk::State::Parked) {
        if (walk.at_last_word()) break;
        walk.resume(program.latencies.barrier);
        continue;
      }
      if (walk.issue().instruction->op == lpu::Opcode::Recv) {
        inbound.push_back(
            {link, walk.issue().cycle,
             std::vector<std::uint8_t>(static_cast<std::size_t>(geometry.vector_bytes()))});
      }
      walk.advance();
    }
  }
  return inbound;
}

// What longer contexts cost; nothing where the program holds a single block and was never made for
// more.
std::string further_tokens(const lpu::CompiledStage& stage, const lpu::Geometry& geometry) {
  const lpu::StageLayout& layout = stage.layout;
  if (layout.layers.empty() || layout.blocks_per_slot < 2) return {};
  std::string text = fmt::format(", {} more per further {} tokens", stage.cycles.per_iteration,
                                 layout.blocks_per_iteration * geometry.lanes());
  const lpu::WindowCycles& window = stage.cycles.window;
  if (layout.window.exists()) {
    text += fmt::format(", {} more per further {} of {} tokens in windows", window.per_iteration,
                        window.blocks_per_iteration * geometry.lanes(),
                        window.most_blocks * geometry.lanes());
  }
  return text;
}

}  // namespace

const PoolPlacement& lpu_placement(const Scenario& scenario) {
  for (const PoolPlacement* pool : {&scenario.placement.decode, &scenario.placement.prefill}) {
    if (scenario.system.chips.at(scenario.system.group(pool->pool).chip).model == "lpu") {
      return *pool;
    }
  }
  throw ConfigError(fmt::format("scenario '{}' places nothing on LPUs", scenario.name));
}

Chip lpu_named(const Context& context, const std::string& name) {
  Chip chip = context.loader.chip(name);
  if (chip.model != "lpu") throw ConfigError(fmt::format("chip '{}' is no LPU", name));
  return chip;
}

OpenProgram open_program(const Context& context, const std::string& path) {
  const std::string text = read_file(path);
  const std::vector<std::uint8_t> bytes(text.begin(), text.end());
  OpenProgram program;
  program.file = path;
  program.chip = chip_named_by(bytes, path);
  Chip chip;
  std::vector<Diagnostic> problems;
  blame_cell({path, 0, 0}, problems, [&] { chip = lpu_named(context, program.chip); });
  if (!problems.empty()) throw ConfigError(problems);
  program.note = assumption_note(chip);
  program.geometry = lpu::geometry_of(chip);
  program.latencies = lpu::latencies_of(chip);
  program.image = lpu::decode_program(bytes, program.geometry, path);
  return program;
}

namespace {

std::string summary_of(const std::string& file, const Stage& stage,
                       const lpu::CompiledStage& compiled, const lpu::Geometry& geometry) {
  return fmt::format(
      "{}: {} layers from {}{}{}; {} cycles{}; {} words, {} B", file, stage.layers,
      stage.first_layer, stage.has_embedding ? ", embedding" : "",
      stage.has_head() ? fmt::format(", head {}..{}", stage.head_begin, stage.head_end - 1) : "",
      compiled.cycles.base, further_tokens(compiled, geometry), compiled.instructions,
      compiled.program_bytes().count());
}

std::string explanation_of(const Stage& stage, const lpu::CompiledStage& compiled,
                           const lpu::Geometry& geometry, const lpu::LatencyTable& latencies) {
  const auto floor = [&](std::int64_t blocks) {
    return lpu::floor_of_stage(geometry, latencies, stage, blocks * geometry.lanes(),
                               lpu::gang_shape(geometry, stage.tensor));
  };
  return explain_operators(compiled, floor(1)) + explain_loops(compiled, floor);
}

}  // namespace

std::vector<CompiledPart> compile_scenario(const Scenario& scenario,
                                           const CompileOptions& options) {
  const PoolPlacement& placement = lpu_placement(scenario);
  const Chip& description = scenario.system.chips.at(scenario.system.group(placement.pool).chip);
  const auto chip = lpu::make_lpu_chip(description, scenario.software);
  const lpu::Geometry geometry = lpu::geometry_of(description);
  const lpu::LatencyTable latencies = lpu::latencies_of(description);
  std::vector<CompiledPart> parts;
  std::set<std::uint64_t> seen;
  for (const Stage& stage : require_fit(fit_question(scenario, *chip), placement).stages) {
    if (!seen.insert(stage.key()).second) continue;
    const auto program = lpu::program_of_run(*chip, stage, options.tokens);
    const lpu::CompiledStage& compiled = *program;
    const lpu::Geometry own = lpu::geometry_of_share(geometry, stage.tensor);
    CompiledPart part;
    part.file = fmt::format("stage{}.lpu", parts.size());
    // Of the first rank: the others differ in rows of SRAM alone.
    part.bytes = lpu::encode_program({compiled.program_of(0), {}}, own);
    part.summary = summary_of(part.file, stage, compiled, geometry);
    if (options.map) {
      part.map = lpu::memory_page(geometry, lpu::memory_map(geometry, compiled.layout));
    }
    if (options.explain) {
      part.explanation = explanation_of(stage, compiled, geometry, latencies);
    }
    parts.push_back(std::move(part));
  }
  return parts;
}

void blame_program(const OpenProgram& program, const std::function<void()>& walk) {
  try {
    walk();
  } catch (const lpu::ScheduleError& error) {
    throw ConfigError(SourcePlace{program.file, 0, 0}, error.what());
  }
}

namespace {

lpu::RunResult run_on(lpu::Machine& machine, const OpenProgram& program,
                      const lpu::HostRegisters& registers, TimelineRecorder* timeline) {
  machine.load(program.image);
  for (int reg = 1; reg < lpu::host_registers; ++reg) {
    machine.set_register(reg, registers[static_cast<std::size_t>(reg)]);
  }
  lpu::RunTimeline record;
  record.recorder = timeline;
  record.group = program.chip;
  lpu::RunResult run;
  blame_program(program, [&] { run = machine.run(zeros_on_links(program, registers), record); });
  return run;
}

}  // namespace

std::string run_program(const OpenProgram& program, const lpu::HostRegisters& registers,
                        bool with_memory, TimelineRecorder* timeline) {
  lpu::Machine machine(program.geometry, program.latencies, true);
  const lpu::RunResult run = run_on(machine, program, registers, timeline);
  std::string text = program.note + fmt::format("cycles {}\n", run.cycles);
  for (const auto& [name, count] : run.counts) text += fmt::format("{} {}\n", name, count);
  if (!with_memory) return text;
  const lpu::Geometry& geometry = program.geometry;
  for (int slice = 0; slice < geometry.mem_slices(); ++slice) {
    for (int bank = 0; bank < geometry.banks; ++bank) {
      for (int row = 0; row < geometry.rows_per_bank; ++row) {
        const std::vector<std::uint8_t> bytes = machine.read_row(slice, bank, row);
        if (std::all_of(bytes.begin(), bytes.end(), [](std::uint8_t b) { return b == 0; })) {
          continue;
        }
        text += fmt::format("data {} {} {} ", slice, bank, row);
        for (const std::uint8_t byte : bytes) text += fmt::format("{:02x}", byte);
        text += '\n';
      }
    }
  }
  return text;
}

std::vector<std::string> hazards_of(const OpenProgram& program) {
  std::vector<std::string> lines;
  for (const lpu::Violation& violation :
       lpu::verify(program.image.program, program.geometry, program.latencies)) {
    lines.push_back(lpu::format_violation(violation));
  }
  return lines;
}

}  // namespace tandem::entry
