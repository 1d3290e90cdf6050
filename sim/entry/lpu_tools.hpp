// What `tandem lpu` does with programs, as values and text.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "models/lpu/geometry.hpp"
#include "models/lpu/program_file.hpp"
#include "models/lpu/program_walk.hpp"
#include "sim/core/timeline.hpp"
#include "sim/entry/context.hpp"

namespace tandem::entry {

/// A program file with the chip it was made for.
struct OpenProgram {
  std::string chip;
  lpu::Geometry geometry;
  lpu::LatencyTable latencies;
  lpu::ProgramImage image;
};

/// Reads a program file and the description of the chip that it names. Throws ConfigError.
[[nodiscard]] OpenProgram open_program(const Context& context, const std::string& path);

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

/// Compiles each kind of stage that the scenario places on LPUs, without weights. Throws
/// ConfigError when it places none.
[[nodiscard]] std::vector<CompiledPart> compile_scenario(const Context& context,
                                                         const Scenario& scenario, bool explain,
                                                         bool map);

/// Runs a program on a functional machine, with zeros for what it receives and the host registers
/// as given (they count iterations of loops): cycles, counts and, as
/// `data` lines, all rows that are not zero afterwards. Every issue becomes a span on the track of
/// its queue where `timeline` is given.
[[nodiscard]] std::string run_program(const OpenProgram& program,
                                      const lpu::HostRegisters& registers, bool with_memory,
                                      TimelineRecorder* timeline = nullptr);

/// The hazards of a program, a line each; empty when it is free of them.
[[nodiscard]] std::vector<std::string> hazards_of(const OpenProgram& program);

}  // namespace tandem::entry
