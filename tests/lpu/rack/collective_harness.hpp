// Runs a collective on a rack with random fp32 vectors and reads what every chip ends up with.
#pragma once

#include <gtest/gtest.h>

#include <bit>

#include "models/lpu/collective/programs.hpp"
#include "models/lpu/rack/session.hpp"
#include "models/lpu/verifier.hpp"
#include "sim/core/random.hpp"
#include "tests/lpu/rack/shipped_fabrics.hpp"

namespace tandem::lpu::testing {

/// One fp32 vector.
using Lanes = std::vector<float>;
/// By chip, then vector.
using Contents = std::vector<std::vector<Lanes>>;

inline Contents random_contents(int chips, int vectors, std::uint64_t seed) {
  RandomStream random(seed, "collective");
  Contents contents(static_cast<std::size_t>(chips));
  for (auto& chip : contents) {
    chip.resize(static_cast<std::size_t>(vectors), Lanes(320));
    for (Lanes& lanes : chip) {
      for (float& lane : lanes) lane = static_cast<float>(random.uniform() * 2 - 1);
    }
  }
  return contents;
}

inline Lanes sum_of(const Lanes& a, const Lanes& b) {
  Lanes sum(a.size());
  for (std::size_t i = 0; i < a.size(); ++i) sum[i] = a[i] + b[i];
  return sum;
}

/// The sum of vector v over `chips`, first to last.
inline Lanes sum_over(const Contents& contents, const std::vector<int>& chips, std::size_t v) {
  Lanes sum = contents[static_cast<std::size_t>(chips.front())][v];
  for (std::size_t i = 1; i < chips.size(); ++i) {
    sum = sum_of(sum, contents[static_cast<std::size_t>(chips[i])][v]);
  }
  return sum;
}

inline void write(Machine& machine, const VectorBlock& block, int v, const Lanes& lanes) {
  const Rows rows = block.at(v);
  for (std::size_t byte = 0; byte < rows.size(); ++byte) {
    std::vector<std::uint8_t> bytes;
    for (const float lane : lanes) {
      bytes.push_back(static_cast<std::uint8_t>(std::bit_cast<std::uint32_t>(lane) >> (8 * byte)));
    }
    machine.write_row(rows[byte].slice, rows[byte].bank, rows[byte].row, bytes);
  }
}

inline Lanes read(const Machine& machine, const VectorBlock& block, int v) {
  const Rows rows = block.at(v);
  std::vector<std::uint32_t> bits(320);
  for (std::size_t byte = 0; byte < rows.size(); ++byte) {
    const auto bytes = machine.read_row(rows[byte].slice, rows[byte].bank, rows[byte].row);
    for (std::size_t i = 0; i < bits.size(); ++i) {
      bits[i] |= std::uint32_t{bytes[i]} << (8 * byte);
    }
  }
  Lanes lanes;
  for (const std::uint32_t b : bits) lanes.push_back(std::bit_cast<float>(b));
  return lanes;
}

/// Chips with a collective's programs, inputs in place.
class CollectiveRun {
 public:
  CollectiveRun(const ShippedFabric& fabric, const CollectiveProgram& program, bool functional)
      : program_(program),
        session_(fabric.topology, fabric.geometry, fabric.latencies, functional) {
    for (int chip = 0; chip < fabric.topology.chips(); ++chip) {
      session_.machine(chip).load(program.programs[static_cast<std::size_t>(chip)], {});
    }
  }
  void fill(const Contents& contents) {
    for (std::size_t chip = 0; chip < contents.size(); ++chip) {
      for (std::size_t v = 0; v < contents[chip].size(); ++v) {
        write(session_.machine(static_cast<int>(chip)), program_.blocks.input, static_cast<int>(v),
              contents[chip][v]);
      }
    }
  }
  RackResult run() { return session_.run(); }
  [[nodiscard]] Lanes output(int chip, int v) {
    return read(session_.machine(chip), program_.blocks.output, v);
  }

 private:
  CollectiveProgram program_;
  RackSession session_;
};

/// Nothing for the verifier to find on any chip, and no send without its receive.
inline void expect_sound(const ShippedFabric& fabric, const CollectiveProgram& program) {
  for (const Program& one : program.programs) {
    for (const Violation& violation : verify(one, fabric.geometry, fabric.latencies)) {
      ADD_FAILURE() << format_violation(violation);
      return;
    }
  }
  for (const std::string& fault :
       find_unmatched(fabric.topology, program.programs, fabric.latencies)) {
    ADD_FAILURE() << fault;
  }
}

}  // namespace tandem::lpu::testing
