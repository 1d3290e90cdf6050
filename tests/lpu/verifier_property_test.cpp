// Random sets of copies between slices, each right by itself. Where they meet on a stream, a bank
// or a queue is chance: whatever the verifier lets through must run and copy, and whatever ends a
// run must have been found by the verifier.
#include <map>

#include "models/lpu/verifier.hpp"
#include "tests/lpu/machine_harness.hpp"
#include "tests/support/property.hpp"

namespace tandem::lpu {
namespace {

using testing::lpu_v1;
using testing::ramp;

struct Copy {
  int source = 0, target = 0, stream = 0, start = 0, row = 0;
};

MemAccess access(MemAccess::Kind kind, int bank, int row, StreamRef stream) {
  MemAccess result;
  result.kind = kind;
  result.bank = static_cast<std::uint8_t>(bank);
  result.row = static_cast<std::uint16_t>(row);
  result.stream = stream;
  return result;
}

// Reads bank 0 of the source, writes bank 1 of the target. False where a queue would have to issue
// two words in one cycle, which no program can say.
bool make_program(const std::vector<Copy>& copies, const Geometry& geometry, Program& program) {
  program.queues.assign(static_cast<std::size_t>(geometry.queue_count()), {});
  std::map<std::pair<int, int>, Instruction> words;  // by queue and cycle
  for (const Copy& copy : copies) {
    const int from = geometry.mem_position(copy.source);
    const int to = geometry.mem_position(copy.target);
    const StreamRef stream{to >= from ? Direction::East : Direction::West,
                           static_cast<std::uint16_t>(copy.stream)};
    const int arrival = copy.start + 2 + std::abs(to - from);
    Instruction read, write;
    read.op = write.op = Opcode::Mem;
    read.access[0] = access(MemAccess::Kind::Read, 0, copy.row, stream);
    write.access[0] = access(MemAccess::Kind::Write, 1, copy.row, stream);
    if (!words.emplace(std::pair(copy.source, copy.start), read).second) return false;
    if (!words.emplace(std::pair(copy.target, arrival), write).second) return false;
  }
  std::map<int, int> next;
  for (const auto& [place, word] : words) {
    const auto [queue, cycle] = place;
    QueueProgram& words_of_queue = program.queues[static_cast<std::size_t>(queue)];
    if (cycle > next[queue]) {
      Instruction nop;
      nop.count = static_cast<std::uint16_t>(cycle - next[queue]);
      words_of_queue.push_back(nop);
    }
    words_of_queue.push_back(word);
    next[queue] = cycle + 1;
  }
  return true;
}

// The four slices next to the VXM on either side, so that copies meet often.
int random_slice(RandomStream& random) {
  const auto slice = static_cast<int>(random.integer(0, 7));
  return slice < 4 ? slice : 40 + slice;
}

TEST(VerifierProperty, CleanProgramsRunAndFaultsOfTheMachineAreFound) {
  constexpr std::uint64_t seed = 99;
  const Geometry geometry = lpu_v1();
  RandomStream random(seed, "copies");
  Machine machine(geometry, {}, true);
  int clean = 0, faulty = 0;
  for (int round = 0; round < tandem::test::property_cases(2000); ++round) {
    SCOPED_TRACE("seed " + std::to_string(seed) + " round " + std::to_string(round));
    std::vector<Copy> copies(static_cast<std::size_t>(random.integer(2, 8)));
    for (std::size_t i = 0; i < copies.size(); ++i) {
      copies[i].source = random_slice(random);
      copies[i].target = random_slice(random);
      copies[i].start = static_cast<int>(random.integer(0, 6));
      copies[i].row = static_cast<int>(i);
    }
    Program program;
    if (!make_program(copies, geometry, program)) continue;
    const bool accepted = verify(program, geometry, {}).empty();
    for (const Copy& copy : copies) {
      machine.write_row(copy.source, 0, copy.row, ramp(round + copy.row, 1));
      machine.write_row(copy.target, 1, copy.row, ramp(0, 0));
    }
    machine.load(program, {});
    try {
      (void)machine.run();
    } catch (const ScheduleError& error) {
      ++faulty;
      EXPECT_FALSE(accepted) << error.what();
      continue;
    }
    if (!accepted) continue;
    ++clean;
    for (const Copy& copy : copies) {
      EXPECT_EQ(machine.read_row(copy.target, 1, copy.row), ramp(round + copy.row, 1));
    }
  }
  // The rounds must exercise both sides.
  EXPECT_GT(clean, 100);
  EXPECT_GT(faulty, 10);
}

}  // namespace
}  // namespace tandem::lpu
