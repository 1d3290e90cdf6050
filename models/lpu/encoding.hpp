// The binary form of one instruction: 16 bytes, little endian, opcode in the lowest five bits.
// Fields follow in a fixed order per opcode; bits that an opcode does not use are zero.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "models/lpu/isa.hpp"

namespace tandem::lpu {

using EncodedInstruction = std::array<std::uint8_t, instruction_bytes>;

/// Encodes one instruction. Throws ModelError where a field that its opcode does not use is not at
/// its default, or where a value does not fit its bits (stream ids up to 1023, ALUs up to 1023).
[[nodiscard]] EncodedInstruction encode(const Instruction& instruction);

/// Decodes one instruction. Throws ModelError for an unknown opcode, an enumerator out of range or
/// a set bit that the opcode does not use, so that every accepted word encodes back to itself.
[[nodiscard]] Instruction decode(std::span<const std::uint8_t, instruction_bytes> bytes);

}  // namespace tandem::lpu
