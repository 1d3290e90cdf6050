// Random programs that are right by construction: the verifier finds nothing, the cycles are those
// of the schedule, and what was to be copied is there.
#include "tests/lpu/random_program.hpp"

#include <gtest/gtest.h>

#include "models/lpu/encoding.hpp"
#include "models/lpu/verifier.hpp"
#include "tests/lpu/random_instruction.hpp"
#include "tests/support/property.hpp"

namespace tandem::lpu {
namespace {

using testing::Place;
using testing::random_program;
using testing::RandomProgram;

constexpr std::uint64_t program_seed = 2027;

std::vector<std::uint8_t> row_of(const Machine& machine, const Place& place) {
  return machine.read_row(place.slice, place.bank, place.row);
}

TEST(RandomProgram, RunsInThePredictedCyclesAndCopies) {
  const Geometry geometry = testing::lpu_v1();
  RandomStream random(program_seed, "random programs");
  Machine timed(geometry, {}, false);
  for (int round = 0; round < tandem::test::property_cases(1000); ++round) {
    SCOPED_TRACE("seed " + std::to_string(program_seed) + " round " + std::to_string(round));
    const RandomProgram program = random_program(random, geometry);
    const ProgramImage image = emit(program, geometry);
    const auto found = verify(image.program, geometry, {});
    ASSERT_TRUE(found.empty()) << format_violation(found[0]);
    timed.load(image);
    const RunResult quick = timed.run(program.inbound);
    ASSERT_EQ(quick.cycles, program.last_issue + geometry.superlanes);
    if (round % 4 != 0) continue;
    Machine machine(geometry, {}, true);
    machine.load(image);
    const RunResult result = machine.run(program.inbound);
    ASSERT_EQ(result.cycles, quick.cycles);
    ASSERT_EQ(result.counts, quick.counts);
    for (const auto& [from, to] : program.copies) {
      ASSERT_EQ(row_of(machine, to), row_of(machine, from))
          << "slice " << to.slice << " bank " << to.bank << " row " << to.row;
    }
  }
}

}  // namespace
}  // namespace tandem::lpu
