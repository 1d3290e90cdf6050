// Superlanes ticked one by one against whole vectors in the frame of superlane 0: the same cycles,
// memory images and link vectors on random programs, and the same kinds of operand faults.
#include "models/lpu/skew_machine.hpp"

#include <gtest/gtest.h>

#include "tests/lpu/mutation.hpp"
#include "tests/lpu/random_instruction.hpp"
#include "tests/support/property.hpp"

namespace tandem::lpu {
namespace {

using testing::Place;
using testing::random_program;
using testing::RandomProgram;

constexpr std::uint64_t skew_seed = 41;

TEST(SkewMachine, AgreesWithTheFrameOfSuperlaneZero) {
  const Geometry geometry = testing::lpu_v1();
  RandomStream random(skew_seed, "skew");
  for (int round = 0; round < tandem::test::property_cases(10); ++round) {
    SCOPED_TRACE("seed " + std::to_string(skew_seed) + " round " + std::to_string(round));
    const RandomProgram program = random_program(random, geometry);
    const ProgramImage image = emit(program, geometry);
    Machine framed(geometry, {}, true);
    framed.load(image);
    SkewMachine skewed(geometry, {});
    skewed.load(image);
    const RunResult expected = framed.run(program.inbound);
    const RunResult found = skewed.run(program.inbound);
    ASSERT_EQ(found.cycles, expected.cycles);
    ASSERT_EQ(found.outbound, expected.outbound);
    for (const Place& place : program.targets) {
      ASSERT_EQ(skewed.read_row(place.slice, place.bank, place.row),
                framed.read_row(place.slice, place.bank, place.row))
          << "slice " << place.slice << " bank " << place.bank << " row " << place.row;
    }
  }
}

template <class AnyMachine>
std::string fault_of(AnyMachine& machine, const ProgramImage& image, const RandomProgram& program) {
  try {
    machine.load(image);
    (void)machine.run(program.inbound);
  } catch (const ScheduleError& error) {
    return error.rule();
  }
  return "runs";
}

TEST(SkewMachine, FindsTheOperandsThatAreMissing) {
  const Geometry geometry = testing::lpu_v1();
  RandomStream random(skew_seed, "skewed faults");
  int faults = 0;
  for (int round = 0; round < tandem::test::property_cases(10); ++round) {
    const RandomProgram program = random_program(random, geometry);
    const ProgramImage original = emit(program, geometry);
    const auto mutant = testing::mutate(program, original, 4, random, geometry);
    if (!mutant) continue;
    Machine framed(geometry, {}, true);
    const std::string expected = fault_of(framed, *mutant, program);
    if (expected != "H4" && expected != "runs") continue;
    SkewMachine skewed(geometry, {});
    EXPECT_EQ(fault_of(skewed, *mutant, program), expected) << "seed " << skew_seed << " " << round;
    if (expected == "H4") ++faults;
  }
  EXPECT_GT(faults, 2);
}

// A shift across superlanes takes 22 cycles since the last superlane is 19 behind the first: what
// it reads in 19 the first one can have in 20 at the earliest.
TEST(SkewMachine, ShowsWhyCrossingSuperlanesCostsTheirSkew) {
  const Geometry geometry = testing::lpu_v1();
  ProgramImage image;
  image.program.queues.resize(static_cast<std::size_t>(geometry.queue_count()));
  Instruction read, nop, shift;
  read.op = Opcode::Mem;
  read.access[0].kind = MemAccess::Kind::Read;
  nop.count = 24;
  shift.op = Opcode::Shift;
  shift.type = Type::Int8;
  shift.amount = -319;
  shift.out.direction = Direction::West;
  read.access[0].stream = shift.in = {Direction::East, 0};
  const int sxm = geometry.sxm_queue(Hemisphere::East, 0);
  // MEM_E0 (+1) to SXM_E (+23): 0 + 2 + 22 = 24.
  image.program.queues[static_cast<std::size_t>(geometry.mem_slices_per_hemisphere)] = {read};
  image.program.queues[static_cast<std::size_t>(sxm)] = {nop, shift, nop};
  RandomProgram none;
  for (const auto& [latency, expected] :
       std::vector<std::pair<int, std::string>>{{22, "runs"}, {20, "runs"}, {19, "H4"}}) {
    // One more issue, so that the run lasts until the result is there.
    Instruction late = nop;
    late.count = 60;
    image.program.queues[0] = {late, read};
    LatencyTable table;
    table.sxm_cross = latency;
    SkewMachine skewed(geometry, table);
    EXPECT_EQ(fault_of(skewed, image, none), expected) << latency;
  }
}

}  // namespace
}  // namespace tandem::lpu
