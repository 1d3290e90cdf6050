// Runs assembled programs on the machine, through the binary form, functional and timed.
#pragma once

#include <gtest/gtest.h>

#include <string_view>

#include "models/lpu/assembler.hpp"
#include "models/lpu/encoding.hpp"
#include "models/lpu/machine.hpp"
#include "models/lpu/verifier.hpp"
#include "tests/lpu/random_instruction.hpp"

namespace tandem::lpu::testing {

inline constexpr int east = 44;  ///< slice number of MEM_E0 on LPU v1

/// A machine that has run a program, and what the run reported.
struct Ran {
  Machine machine;
  RunResult result;
};

/// Assembles `text`, encodes it, loads the bytes and runs functional and timed machines; expects
/// equal cycles and counts. Returns the functional one.
inline Ran execute(std::string_view text, const Geometry& geometry = lpu_v1(),
                   const LatencyTable& latency = {}, std::span<const LinkVector> inbound = {}) {
  const auto bytes = encode_program(assemble(text, geometry), geometry);
  Machine timed(geometry, latency, false);
  timed.load(bytes, "test");
  const RunResult quick = timed.run(inbound);
  Ran ran{Machine(geometry, latency, true), {}};
  ran.machine.load(bytes, "test");
  ran.result = ran.machine.run(inbound);
  EXPECT_EQ(quick.cycles, ran.result.cycles);
  EXPECT_EQ(quick.counts, ran.result.counts);
  return ran;
}

/// As execute(), of a program that the verifier must find free of hazards.
inline Ran run_program(std::string_view text, const Geometry& geometry = lpu_v1(),
                       const LatencyTable& latency = {}, std::span<const LinkVector> inbound = {}) {
  for (const Violation& violation : verify(assemble(text, geometry).program, geometry, latency)) {
    ADD_FAILURE() << format_violation(violation);
  }
  return execute(text, geometry, latency, inbound);
}

/// The rule, queue name and message of the fault that ends the run, or "runs".
inline std::string fault_of(std::string_view text, const Geometry& geometry = lpu_v1(),
                            const LatencyTable& latency = {}) {
  try {
    (void)execute(text, geometry, latency);
  } catch (const ScheduleError& error) {
    return error.what();
  }
  return "runs";
}

/// A row whose lane i is first + step * i, modulo 256.
inline std::vector<std::uint8_t> ramp(int first, int step) {
  std::vector<std::uint8_t> row(320);
  for (std::size_t i = 0; i < row.size(); ++i) {
    row[i] = static_cast<std::uint8_t>(first + step * static_cast<int>(i));
  }
  return row;
}

/// A "data" line that puts `row` into SRAM.
inline std::string data_line(int slice, int bank, int row, const std::vector<std::uint8_t>& bytes) {
  static constexpr char digits[] = "0123456789abcdef";
  std::string line = "data " + std::to_string(slice) + " " + std::to_string(bank) + " " +
                     std::to_string(row) + " ";
  for (const auto byte : bytes) {
    line += digits[byte >> 4];
    line += digits[byte & 15];
  }
  return line + "\n";
}

/// "data" lines that put the encoded words, with zeros behind them, into row 0 of both banks of a
/// slice: what one Ifetch brings.
inline std::string data_of_words(int slice, const std::vector<std::string>& words) {
  std::vector<std::uint8_t> bytes;
  for (const std::string& word : words) {
    const auto program = assemble("queue MEM_W0\n" + word + "\n", lpu_v1()).program;
    const EncodedInstruction encoded = encode(program.queues[0][0]);
    bytes.insert(bytes.end(), encoded.begin(), encoded.end());
  }
  bytes.resize(640);
  return data_line(slice, 0, 0, {bytes.begin(), bytes.begin() + 320}) +
         data_line(slice, 1, 0, {bytes.begin() + 320, bytes.end()});
}

}  // namespace tandem::lpu::testing
