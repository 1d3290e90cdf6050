// A program as text, in the syntax that the assembler reads (docs/lpu_assembly.md).
#pragma once

#include <string>

#include "models/lpu/program_file.hpp"

namespace tandem::lpu {

/// One instruction as the assembler reads it, without cycle or newline.
[[nodiscard]] std::string list_instruction(const Instruction& instruction);

/// The whole program, queue by queue, each word with the cycle of its first issue as a comment.
/// Loops stay compact: their Loop word tells how often and how far apart. After a Sync, cycles
/// count from the release and carry a plus sign; LoopReg counts as zero further iterations.
/// assemble(list_program(p)) gives p for every program whose instructions are legal on the chip.
[[nodiscard]] std::string list_program(const ProgramImage& image, const Geometry& geometry);
[[nodiscard]] std::string list_program(const Program& program, const Geometry& geometry);

}  // namespace tandem::lpu
