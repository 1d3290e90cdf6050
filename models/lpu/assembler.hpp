// Text to program: the syntax that list_program() writes (docs/lpu_assembly.md).
#pragma once

#include <string_view>

#include "models/lpu/program_file.hpp"

namespace tandem::lpu {

/// Assembles a program for one chip. Throws ConfigError with every complaint, each at its
/// file:line:column, for unknown words, values out of range and instructions that the queue's unit
/// cannot execute.
[[nodiscard]] ProgramImage assemble(std::string_view text, const Geometry& geometry,
                                    std::string_view file = "program.lpuasm");

}  // namespace tandem::lpu
