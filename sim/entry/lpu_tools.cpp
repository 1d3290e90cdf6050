#include "sim/entry/lpu_tools.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "models/lpu/chip_params.hpp"
#include "models/lpu/compiler/compiler.hpp"
#include "models/lpu/compiler/memory_map.hpp"
#include "models/lpu/machine.hpp"
#include "models/lpu/program_walk.hpp"
#include "models/lpu/stage_gang.hpp"
#include "models/lpu/verifier.hpp"
#include "sim/core/diagnostics.hpp"
#include "sim/entry/lpu_explain.hpp"

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

OpenProgram open_program(const Context& context, const std::string& path) {
  const std::string text = read_file(path);
  const std::vector<std::uint8_t> bytes(text.begin(), text.end());
  OpenProgram program;
  program.chip = chip_named_by(bytes, path);
  const Chip chip = context.loader.chip(program.chip);
  program.geometry = lpu::geometry_of(chip);
  program.latencies = lpu::latencies_of(chip);
  program.image = lpu::decode_program(bytes, program.geometry, path);
  return program;
}

std::vector<CompiledPart> compile_scenario(const Context&, const Scenario& scenario, bool explain,
                                           bool map) {
  const PoolPlacement& placement = lpu_placement(scenario);
  const Chip& chip = scenario.system.chips.at(scenario.system.group(placement.pool).chip);
  const lpu::Geometry geometry = lpu::geometry_of(chip);
  const lpu::LatencyTable latencies = lpu::latencies_of(chip);
  const std::int64_t context = scenario.traffic.prompt_tokens + scenario.traffic.output_tokens;
  std::vector<CompiledPart> parts;
  std::set<std::uint64_t> seen;
  for (const Stage& stage :
       partition_pipeline(scenario.model, placement.precision, placement.pipeline,
                          placement.head_chips, placement.tensor)) {
    if (!seen.insert(stage.key()).second) continue;
    const lpu::CompiledStage compiled =
        lpu::compile_share(geometry, latencies, chip.name, stage, 1, context);
    CompiledPart part;
    part.file = fmt::format("stage{}.lpu", parts.size());
    // Of the first rank: the others differ in rows of SRAM alone.
    part.bytes = lpu::encode_program({compiled.program_of(0), {}}, geometry);
    part.summary = fmt::format(
        "{}: {} layers from {}{}{}; {} cycles{}; {} words, {} B", part.file, stage.layers,
        stage.first_layer, stage.has_embedding ? ", embedding" : "",
        stage.has_head() ? fmt::format(", head {}..{}", stage.head_begin, stage.head_end - 1) : "",
        compiled.cycles.base, further_tokens(compiled, geometry), compiled.instructions,
        compiled.program_bytes().count());
    if (map) part.map = lpu::memory_page(geometry, lpu::memory_map(geometry, compiled.layout));
    if (explain) {
      const auto floor = [&](std::int64_t blocks) {
        return lpu::floor_of_stage(geometry, latencies, stage, blocks * geometry.lanes(),
                                   static_cast<int>(stage.tensor));
      };
      part.explanation = explain_operators(compiled, floor(1)) + explain_loops(compiled, floor);
    }
    parts.push_back(std::move(part));
  }
  return parts;
}

std::string run_program(const OpenProgram& program, const lpu::HostRegisters& registers,
                        bool with_memory, TimelineRecorder* timeline) {
  lpu::Machine machine(program.geometry, program.latencies, true);
  machine.load(program.image);
  for (int reg = 1; reg < lpu::host_registers; ++reg) {
    machine.set_register(reg, registers[static_cast<std::size_t>(reg)]);
  }
  lpu::RunTimeline record;
  record.recorder = timeline;
  record.group = program.chip;
  const lpu::RunResult run = machine.run(zeros_on_links(program, registers), record);
  std::string text = fmt::format("cycles {}\n", run.cycles);
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
