// Static check of any program: hazards H1 to H10 over all cycles, with host registers at their
// worst. It shares the decoder and the queue expansion with the machine, and none of its timing.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "models/lpu/isa.hpp"

namespace tandem::lpu {

/// One fault of a schedule. Rules:
///  H1 queue: one issue per cycle, loops and Repeats that fit their interval
///  H2 bank: one access per cycle
///  H3 stream cell or ALU register: two producers, or a vector overwritten before anyone read it
///  H4 operand not there in exactly that cycle, misaligned group, or stream of the wrong direction
///  H5 order of LW, IW, ABC, ACC on a plane
///  H6 link busy, or a link used by another link's queue
///  H7 weights and other vectors meet on an outward stream, or weights off the wide weight path
///  H8 capacity: rows outside a bank (registers at their limits), data and instructions beyond SRAM
///  H9 a row read too soon after it was written (rows of registers compared at their worst)
///  H10 registers used without a Sync before, Sync or Notify inside a loop, a Sync never released,
///      a Select that no Sync precedes or whose register may exceed its blocks, loops by a flag
///  ISA an instruction that the queue's unit cannot execute
struct Violation {
  std::string rule;
  std::string queue;     ///< name of the queue at fault
  std::int64_t cycle{};  ///< cycle of issue, or of the cell for H3 and H4
  std::string resource;  ///< stream, bank, plane, link or register
  std::string message;
  bool operator==(const Violation&) const = default;
};

/// Renders "H4 MEM_E3 at cycle 46, stream E0 at position 2: message".
[[nodiscard]] std::string format_violation(const Violation& violation);

/// Checks a program; empty when it is free of hazards. At most 100 violations, by cycle, then
/// queue. LoopReg counts are tried at 0, at 1 and at the registers' limits (all loop registers
/// alike) and every block of a Select is tried; registers in row addresses are treated as any value
/// up to their limit.
[[nodiscard]] std::vector<Violation> verify(const Program& program, const Geometry& geometry,
                                            const LatencyTable& latency);

}  // namespace tandem::lpu
