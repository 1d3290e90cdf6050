// What `tandem lpu` does with programs, as values and text.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "models/lpu/geometry.hpp"
#include "models/lpu/program_file.hpp"
#include "models/lpu/program_walk.hpp"
#include "sim/core/timeline.hpp"
#include "sim/entry/context.hpp"

namespace tandem::entry {

/// The description of an LPU by name or file. Throws ConfigError for chips of another model.
[[nodiscard]] Chip lpu_named(const Context& context, const std::string& name);

/// A program file with the chip it was made for.
struct OpenProgram {
  std::string file;
  std::string chip;
  std::string note;  ///< a line: how many of the chip's numbers are assumed; empty where none is
  lpu::Geometry geometry;
  lpu::LatencyTable latencies;
  lpu::ProgramImage image;
};

/// Reads a program file and the description of the chip that it names. Throws ConfigError with the
/// file.
[[nodiscard]] OpenProgram open_program(const Context& context, const std::string& path);

/// Walks a program that a user gave: a ScheduleError becomes a ConfigError with its file.
void blame_program(const OpenProgram& program, const std::function<void()>& walk);

/// The placement of the pool whose chips are LPUs; decode first. Throws ConfigError when none is.
[[nodiscard]] const PoolPlacement& lpu_placement(const Scenario& scenario);

/// One compiled stage kind of a scenario.
struct CompiledPart {
  std::string file;  ///< "stage0.lpu"
  std::vector<std::uint8_t> bytes;
  std::string summary;      ///< one line: layers, cycles, words, bytes
  std::string explanation;  ///< how busy every unit is and what bounds each operator
  std::string map;          ///< what lies where in SRAM; empty unless asked for
};

struct CompileOptions {
  int tokens = 1;  ///< of a pass
  bool explain = false, map = false;
};

/// The programs, without weights, with which `tandem run` times each kind of stage that the
/// scenario places on LPUs. Throws ConfigError when it places none and where its pool does not fit,
/// ModelError for numbers of tokens that it has no room for.
[[nodiscard]] std::vector<CompiledPart> compile_scenario(const Scenario& scenario,
                                                         const CompileOptions& options);

/// Runs a program on a functional machine, with zeros for what it receives and the host registers
/// as given (they count iterations of loops): cycles, counts and, as
/// `data` lines, all rows that are not zero afterwards. Every issue becomes a span on the track of
/// its queue where `timeline` is given. Throws ConfigError with the file for a program that breaks
/// a rule of the machine.
[[nodiscard]] std::string run_program(const OpenProgram& program,
                                      const lpu::HostRegisters& registers, bool with_memory,
                                      TimelineRecorder* timeline = nullptr);

/// The hazards of a program, a line each; empty when it is free of them.
[[nodiscard]] std::vector<std::string> hazards_of(const OpenProgram& program);

}  // namespace tandem::entry
