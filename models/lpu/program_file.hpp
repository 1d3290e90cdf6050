// A program as a file: what a host loads into a chip. Little endian throughout.
//
//   "TLPU" u32 version  u16 length + chip name  u64 geometry fingerprint
//   u16 register limits, one per host register
//   u32 maps, each u32 length + u16 entries
//   u32 queues, each u32 words + 16 bytes per word
//   u32 counts + u16 preloaded words per queue
//   u32 counts + u16 rows used per (slice, bank)
//   u32 image rows, each u16 slice, u8 bank, u16 row, vector bytes
//   u32 operators, each u16 length + name; u32 queues (0 or all), each u32 spans, each u32 first
//   word, u16 operator
//   u64 FNV-1a checksum of all bytes before it
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "models/lpu/isa.hpp"

namespace tandem::lpu {

/// A program and the constants that SRAM holds before it runs.
struct ProgramImage {
  Program program;
  std::vector<MemoryImageRow> rows;
  bool operator==(const ProgramImage&) const = default;
};

/// Content key of everything in the geometry that a program depends on. A program made for one chip
/// is refused by another.
[[nodiscard]] std::uint64_t geometry_fingerprint(const Geometry& geometry);

/// The bytes of a program file. Throws ModelError where an instruction cannot be encoded or an
/// image row is not one vector long.
[[nodiscard]] std::vector<std::uint8_t> encode_program(const ProgramImage& image,
                                                       const Geometry& geometry);

/// Reads a program file. Throws ConfigError naming `file` and the byte offset for anything that is
/// truncated, malformed, made for another chip, illegal on this one, or does not match its
/// checksum.
[[nodiscard]] ProgramImage decode_program(std::span<const std::uint8_t> bytes,
                                          const Geometry& geometry, std::string_view file);

}  // namespace tandem::lpu
