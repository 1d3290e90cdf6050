// Broken schedules, one kind per rule, each with the queue, cycle and place that the verifier
// names. Positions as in machine_programs_test.cpp; queues without Sync start in cycle 0.
#include <gmock/gmock.h>

#include "models/lpu/verifier.hpp"
#include "tests/lpu/machine_harness.hpp"

namespace tandem::lpu {
namespace {

using testing::fault_of;
using ::testing::HasSubstr;
using testing::lpu_v1;

std::vector<Violation> violations(std::string_view text) {
  return verify(assemble(text, lpu_v1()).program, lpu_v1(), {});
}

std::string all_of(const std::vector<Violation>& found) {
  std::string text;
  for (const Violation& violation : found) text += format_violation(violation) + "\n";
  return text;
}

// A copy from MEM_W0 (-1) to MEM_E0 (+1): read in 0, cell in 2, written in 4.
constexpr const char* good_copy = R"(
  queue MEM_W0
    mem read 0:0 E0
  queue MEM_E0
    nop 4
    mem write 1:0 E0
)";

TEST(Verifier, AcceptsAGoodCopy) {
  EXPECT_EQ(all_of(violations(good_copy)), "");
}

struct Broken {
  const char* name;
  std::string text;
  const char* rule;
  const char* queue;
  std::int64_t cycle;
  const char* resource;
  const char* machine;  // how the machine's fault begins; "runs" where only the verifier sees it
};

// Plane 2 loads E0..15 from MEM_E28..E43, which lie 9..2 from it: the first pair reads in 1, LW is
// in 1 + 2 + 9 = 12. MEM_E31 (+16) therefore reads in 2 and fills E3 at +16 in 4. MEM_E26 (+14)
// reads E3 in 0: at +14 in 2 and at +16 in 4, unread.
std::string weights_with_an_intruder() {
  std::string text = "queue MEM_E26\nmem read 0:0 E3\n";
  for (int i = 0; i < 16; ++i) {
    const int distance = 24 - (1 + (28 + i) / 2);
    text += "queue MEM_E" + std::to_string(28 + i) + "\nnop " + std::to_string(10 - distance) +
            "\nmem read 0:0 E" + std::to_string(i) + "\n";
  }
  return text + "queue MXM2.weights\nnop 12\nlw plane 2 group 0 E0\n";
}

std::vector<Broken> broken_schedules() {
  return {
      // Issues in 0 and 5; the loop would begin its second iteration in 4.
      {"H1", "queue MEM_W0\nmem read 0:0 E0\nnop 4\nmem read 0:1 E0\nloop 1 width 3 interval 4\n",
       "H1", "MEM_W0", 4, "queue", "lpu MEM_W0 at cycle 4: H1"},
      // The map is read in 0 at -2 and is at -1 in 3; the gather of 3 holds both banks in 4.
      {"H2",
       "queue MEM_W2\nmem read 0:0 E2 | read 1:0 E3\n"
       "queue MEM_W0\nnop 3\nmem gather 0:0 E8 map E2\nmem read 1:0 E9\n",
       "H2", "MEM_W0", 4, "bank 1", "lpu MEM_W0 at cycle 4: H2: bank 1"},
      // MEM_W0 and MEM_W1 share position -1.
      {"H3TwoProducers", "queue MEM_W0\nmem read 0:0 E0\nqueue MEM_W1\nmem read 0:0 E0\n", "H3",
       "MEM_W1", 2, "stream E0 at position -1", "lpu MEM_W1 at cycle 0: H3: stream E0"},
      // From -2 in 2 to -1 in 3, where MEM_W0 puts its own.
      {"H3Overwritten", "queue MEM_W2\nmem read 0:0 E0\nqueue MEM_W0\nnop 1\nmem read 0:0 E0\n",
       "H3", "MEM_W0", 3, "stream E0 at position -1", "runs"},
      // The good copy, written one cycle late.
      {"H4", "queue MEM_W0\nmem read 0:0 E0\nqueue MEM_E0\nnop 5\nmem write 1:0 E0\n", "H4",
       "MEM_E0", 5, "stream E0 at position 1", "lpu MEM_E0 at cycle 5: H4: stream E0"},
      {"H4Register", "queue VXM1\nalu neg float32 alu0\n", "H4", "VXM1", 0, "ALU 0",
       "lpu VXM1 at cycle 0: H4"},
      {"H5", "queue MXM2.weights\niw plane 2\n", "H5", "MXM2.weights", 0, "plane 2",
       "lpu MXM2.weights at cycle 0: H5: plane 2"},
      {"H5Result", "queue MXM1.compute\nnop 2\nacc plane 1 acc 7 float32 -> E0\n", "H5",
       "MXM1.compute", 2, "plane 1 accumulator 7", "lpu MXM1.compute at cycle 2: H5"},
      // MEM_E0 (+1) to C2C_E (+23): sends in 24 and 50; the link takes 27 cycles per vector.
      {"H6",
       "queue MEM_E0\nmem read 0:0 E0\nrepeat 1 interval 26\n"
       "queue C2C1\nnop 24\nsend link 1 E0\nrepeat 1 interval 26\n",
       "H6", "C2C1", 50, "link 1", "lpu C2C1 at cycle 50: H6: link 1"},
      {"H7", weights_with_an_intruder(), "H7", "MEM_E31", 4, "stream E3 at position 16", "runs"},
      // Rows 4090, 4091, ...: row 4096 in cycle 6.
      {"H8", "queue MEM_W0\nmem read 0:4090 E0\nrepeat 9 interval 1 stride 1\n", "H8", "MEM_W0", 6,
       "bank 0", "lpu MEM_W0 at cycle 6: H8"},
      // With the register at its limit the row is 4096; at zero the program runs.
      {"H8Register", "limit r1 1\nqueue MEM_W0\nnotify\nsync\nmem read 0:4095+r1 E0\n", "H8",
       "MEM_W0", 35, "bank 0", "runs"},
      // Written in 4, readable from 6 on.
      {"H9", std::string(good_copy) + "mem read 1:0 E5\n", "H9", "MEM_E0", 5, "bank 1 row 0",
       "lpu MEM_E0 at cycle 5: H9: row 0 of bank 1"},
      {"H10Register", "limit r1 5\nqueue MEM_W0\nmem read 0:0 E0\nloopreg r1 width 1 interval 3\n",
       "H10", "MEM_W0", 0, "register r1", "lpu MEM_W0 at cycle 0: H10"},
      {"H10Parked", "queue MEM_W0\nnop 3\nsync\nmem read 0:0 E0\n", "H10", "MEM_W0", 3, "sync",
       "lpu MEM_W0 at cycle 3: H10"},
      {"H10SyncInLoop", "queue MEM_W0\nnotify\nsync\nloop 1 width 1 interval 50\n", "H10", "MEM_W0",
       0, "queue", "lpu MEM_W0 at cycle 0: H10"},
  };
}

// A vector without an operand would leave in another cycle, and no unit misses anything.
TEST(Verifier, RejectsAQueueThatDoesNotWaitForTheStartOfTheOthers) {
  const std::string start = "queue MEM_W0\nnotify\nsync\nqueue C2C1\n";
  EXPECT_TRUE(violations(start + "sync\ntransmit link 1\n").empty());
  const auto found = violations(start + "nop 3\ntransmit link 1\n");
  ASSERT_EQ(found.size(), 1U) << all_of(found);
  EXPECT_EQ(found[0].rule, "H10");
  EXPECT_EQ(found[0].queue, "C2C1");
}

TEST(Verifier, RejectsEveryKindOfBrokenSchedule) {
  for (const Broken& broken : broken_schedules()) {
    SCOPED_TRACE(broken.name);
    const auto found = violations(broken.text);
    ASSERT_FALSE(found.empty());
    EXPECT_EQ(found[0].rule, broken.rule) << all_of(found);
    EXPECT_EQ(found[0].queue, broken.queue) << all_of(found);
    EXPECT_EQ(found[0].cycle, broken.cycle) << all_of(found);
    EXPECT_EQ(found[0].resource, broken.resource) << all_of(found);
    EXPECT_THAT(fault_of(broken.text), HasSubstr(broken.machine));
  }
}

TEST(Verifier, FindsAnOperandThatIsMissingForFewLoopIterationsOnly) {
  // The reader runs 1 + r1 times and the writer always 1 + 3: right for r1 = 3, short of one
  // write's operand for r1 = 0, first in 35 + 4 + 10 = 49.
  const auto found = violations(R"(
    limit r1 3
    queue MEM_W0
      notify
      sync
      mem read 0:0 E0
      loopreg r1 width 1 interval 10 stride 1
    queue MEM_E0
      sync
      nop 4
      mem write 1:0 E0
      repeat 3 interval 10 stride 1
  )");
  ASSERT_FALSE(found.empty());
  EXPECT_EQ(found[0].rule, "H4");
  EXPECT_EQ(found[0].queue, "MEM_E0");
  EXPECT_EQ(found[0].cycle, 49);
}

TEST(Verifier, ComparesRowsOfDifferentRegistersAtTheirWorst) {
  const std::string copy = R"(
    queue MEM_W0
      notify
      sync
      mem read 0:0 E0
    queue MEM_E0
      sync
      nop 4
      mem write 1:10+r1 E0
  )";
  // Rows 10..15 are written in 39; reading row 15 in 40 may hit them, row 16 cannot.
  EXPECT_THAT(all_of(violations("limit r1 5\n" + copy + "mem read 1:15 E5\n")), HasSubstr("H9"));
  EXPECT_EQ(all_of(violations("limit r1 5\n" + copy + "mem read 1:16 E5\n")), "");
  EXPECT_EQ(all_of(violations("limit r1 5\n" + copy + "mem read 1:15+r1 E5\n")), "");
}

TEST(Verifier, CountsInstructionsAndDataAgainstSram) {
  // 88 * 2 banks * 4096 rows * 320 B = 230,686,720 B; all rows used leave no room for 3 words.
  Program program = assemble(good_copy, lpu_v1()).program;
  program.rows_used.assign(176, 4096);
  const auto found = verify(program, lpu_v1(), {});
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].rule, "H8");
  EXPECT_EQ(found[0].message, "data and instructions take 230686768 bytes; the chip has 230686720");
}

TEST(Verifier, ReportsWordsThatTheUnitCannotExecute) {
  Program program = assemble(good_copy, lpu_v1()).program;
  program.queues[0][0].op = Opcode::Send;
  program.queues[0][0].access = {};
  const auto found = verify(program, lpu_v1(), {});
  ASSERT_FALSE(found.empty());
  EXPECT_EQ(found[0].rule, "H6");
  EXPECT_EQ(found[0].queue, "MEM_W0");
}

TEST(Verifier, LatencyTableDecidesWhatIsOnTime) {
  for (int read : {1, 2, 3}) {
    LatencyTable latency;
    latency.mem_read = read;
    const auto found = verify(assemble(good_copy, lpu_v1()).program, lpu_v1(), latency);
    EXPECT_EQ(found.empty(), read == 2);
  }
}

}  // namespace
}  // namespace tandem::lpu
