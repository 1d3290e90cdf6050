// Instruction control by hand: Select, AGen, Config, Ifetch, flags, Deskew, Transmit. Cycles and
// positions as in machine_programs_test.cpp; queues without Sync start in cycle 0.
#include <gmock/gmock.h>

#include "tests/lpu/machine_harness.hpp"

namespace tandem::lpu {
namespace {

using testing::data_line;
using testing::data_of_words;
using testing::east;
using testing::execute;
using testing::fault_of;
using ::testing::HasSubstr;
using testing::lpu_v1;
using testing::ramp;
using testing::run_program;

// Block 0 takes two cycles, block 1 `nops` + 1; the read behind them is in 35 + 10 either way.
std::string two_blocks(int nops) {
  return R"(
    limit r1 1
    queue MEM_W0
      notify
      sync
      select r1 blocks 2 width 2 interval 10
      mem read 0:0 E0
      nop 1
      mem read 0:7 E0
      nop )" +
         std::to_string(nops) + R"(
      mem read 0:20 E0
    queue MEM_E0
      sync
      nop 4
      mem write 1:0 E0
      nop 9
      mem write 1:1 E0
  )";
}

TEST(HandControl, SelectsOneOfTwoBlocksInTheSameTime) {
  // Reads in 35 and 45, writes in 39 and 49: end 69.
  Machine machine(lpu_v1(), {}, true);
  EXPECT_TRUE(verify(assemble(two_blocks(9), lpu_v1()).program, lpu_v1(), {}).empty());
  machine.load(assemble(two_blocks(9), lpu_v1()));
  for (const int row : {0, 7, 20}) machine.write_row(0, 0, row, ramp(row + 1, 1));
  for (const std::uint16_t block : {std::uint16_t{0}, std::uint16_t{1}}) {
    machine.set_register(1, block);
    EXPECT_EQ(machine.run().cycles, 69);
    EXPECT_EQ(machine.read_row(east, 1, 0), ramp(block == 0 ? 1 : 8, 1));
    EXPECT_EQ(machine.read_row(east, 1, 1), ramp(21, 1));
  }
}

TEST(HandControl, RefusesBlocksThatDoNotFit) {
  // Eleven cycles in an interval of ten: the verifier tries block 1, the machine runs block 0.
  const auto found = verify(assemble(two_blocks(10), lpu_v1()).program, lpu_v1(), {});
  ASSERT_FALSE(found.empty());
  EXPECT_EQ(found[0].rule, "H1");
  EXPECT_EQ(found[0].cycle, 45);
  EXPECT_EQ(fault_of(two_blocks(10)), "runs");
  EXPECT_THAT(fault_of("queue MEM_W0\nselect r1 blocks 1 width 1 interval 9\nmem read 0:0 E0\n"),
              HasSubstr("H10: word 0: select does not follow a sync"));
  const auto wide =
      verify(assemble("limit r1 2\n" + two_blocks(9).substr(15), lpu_v1()).program, lpu_v1(), {});
  ASSERT_FALSE(wide.empty());
  EXPECT_EQ(wide[0].rule, "H10");
}

TEST(HandControl, TakesTheChoiceFromAFlagOfTheVectorUnit) {
  // MEM_W2 reads the flag in 35, it is at the VXM in 39; the second barrier is raised in 40 and
  // ends in 75, when block 1 reads row 7; its write is in 79: end 99.
  auto flag = ramp(0, 0);
  flag[0] = 1;
  const auto ran = run_program(data_line(2, 0, 0, flag) + data_line(0, 0, 7, ramp(70, 1)) + R"(
    limit r1 1
    queue MEM_W2
      notify
      sync
      mem read 0:0 E2 | read 1:0 E3
    queue VXM1
      sync
      nop 4
      flag r1 E2
    queue MEM_W0
      sync
      nop 5
      notify
      sync
      select r1 blocks 2 width 1 interval 1
      mem read 0:0 E0
      mem read 0:7 E0
    queue MEM_E0
      sync
      sync
      nop 4
      mem write 1:0 E0
  )");
  EXPECT_EQ(ran.result.cycles, 99);
  EXPECT_EQ(ran.machine.read_row(east, 1, 0), ramp(70, 1));
}

TEST(HandControl, RefusesAFlagThatDecidesALoop) {
  const std::string text =
      "limit r1 3\nqueue VXM0\nsync\nflag r1 E2\n"
      "queue MEM_W0\nsync\nmem read 0:0 E0\nloopreg r1 width 1 interval 3\n";
  EXPECT_THAT(fault_of(text), HasSubstr("H10: loops count by register 1, which a flag sets"));
  const auto found = verify(assemble(text, lpu_v1()).program, lpu_v1(), {});
  ASSERT_FALSE(found.empty());
  EXPECT_EQ(found[0].rule, "H10");
}

TEST(HandControl, GeneratesAddresses) {
  // Uses 0..6 of step 5, three steps, two uses each: rows 10 + 0, 0, 5, 5, 10, 10, 0. AGen in 0,
  // reads in 1..7, writes in 5..11: end 31.
  std::string data;
  for (const int row : {10, 15, 20}) data += data_line(0, 0, row, ramp(row, 0));
  const auto ran = run_program(data + R"(
    queue MEM_W0
      agen step 5 iters 3 countdown 2
      mem read 0:10+ag E0
      repeat 6 interval 1
    queue MEM_E0
      nop 5
      mem write 1:0 E0
      repeat 6 interval 1 stride 1
  )");
  EXPECT_EQ(ran.result.cycles, 31);
  const std::vector<int> rows{10, 10, 15, 15, 20, 20, 10};
  for (int i = 0; i < 7; ++i) {
    EXPECT_EQ(ran.machine.read_row(east, 1, i), ramp(rows[static_cast<std::size_t>(i)], 0));
  }
}

TEST(HandControl, PowersDownSuperlanes) {
  // From cycle 1 on four superlanes work, 64 lanes. Five reads of 4 of 20 superlanes are one
  // vector; each travels from -1 to the edge at +24: 25 hops. The other lanes of the target keep
  // what they held. Writes in 5..9: end 29.
  const auto ran =
      run_program(data_line(0, 0, 0, ramp(1, 1)) + data_line(east, 1, 0, ramp(200, 0)) + R"(
    queue VXM0
      config 4
    queue MEM_W0
      nop 1
      mem read 0:0 E0
      repeat 4 interval 1
    queue MEM_E0
      nop 5
      mem write 1:0 E0
      repeat 4 interval 1
  )");
  EXPECT_EQ(ran.result.cycles, 29);
  const auto row = ran.machine.read_row(east, 1, 0);
  for (std::size_t lane = 0; lane < row.size(); ++lane) {
    ASSERT_EQ(row[lane], lane < 64 ? static_cast<std::uint8_t>(lane + 1) : 200);
  }
  EXPECT_EQ(ran.result.counts.at("mem_reads"), 1);
  EXPECT_EQ(ran.result.counts.at("mem_writes"), 1);
  EXPECT_EQ(ran.result.counts.at("stream_vector_hops"), 25);
}

TEST(HandControl, UnpoweredLanesOfResultsAreZero) {
  // exp(0) = 1 everywhere but in the lanes without power: Config in 0, exp in 1 lands in 6, its
  // highest byte 0x3f is at +1 in 7: end 27.
  const auto ran = run_program(R"(
    queue VXM0
      config 2
    queue VXM3
      nop 1
      alu exp float32 #00000000 -> E0
    queue MEM_E0
      nop 7
      mem write 0:0 E3
    queue MEM_E1
      nop 20
      mem read 0:0 E9
  )");
  auto expected = ramp(0, 0);
  std::fill_n(expected.begin(), 32, std::uint8_t{0x3f});
  EXPECT_EQ(ran.machine.read_row(east, 0, 0), expected);
  EXPECT_EQ(ran.result.cycles, 40);
}

// Three words are loaded, the fourth comes from MEM_W2 (-2): read in 0, at -1 in 3.
std::string fetched(int nops) {
  return "preload MEM_W0 3\nqueue MEM_W2\nmem read 0:0 E2 | read 1:0 E3\n"
         "queue MEM_W0\nnop 3\nifetch E2\nnop " +
         std::to_string(nops) + "\nmem read 0:9 E5\n";
}

TEST(HandControl, FetchesInstructionsFromStreams) {
  // Ifetch in 3, the word may issue from 7 on: end 27.
  const std::string words = data_of_words(2, {"mem read 0:9 E5"});
  EXPECT_EQ(run_program(words + fetched(3)).result.cycles, 27);
  EXPECT_THAT(fault_of(words + fetched(2)),
              HasSubstr("cycle 6: H1: word 3 is reached; it arrives in cycle 7"));
  EXPECT_THAT(fault_of(data_of_words(2, {"mem read 0:8 E5"}) + fetched(3)),
              HasSubstr("H10: what ifetch brings is not word 3 of the program"));
  const std::string none = "preload MEM_W0 1\nqueue MEM_W0\nnop 3\nmem read 0:9 E5\n";
  EXPECT_THAT(fault_of(none), HasSubstr("H1: word 1 is reached and no ifetch has brought it"));
}

TEST(HandControl, WaitsForTheHacAndTransmitsTheCycle) {
  // After 5 cycles on to the overflow in 252; then 30 cycles after 253: 283 = 256 + 27. End 303.
  const auto ran = run_program(
      "queue C2C1\nnop 5\ndeskew\ntransmit link 1\nruntime_deskew 30\ntransmit link 1\n");
  EXPECT_EQ(ran.result.cycles, 303);
  ASSERT_EQ(ran.result.outbound.size(), 2U);
  EXPECT_EQ(ran.result.outbound[0].cycle, 252);
  EXPECT_EQ(ran.result.outbound[0].bytes[0], 252);
  EXPECT_EQ(ran.result.outbound[0].bytes[1], 0);
  EXPECT_EQ(ran.result.outbound[1].cycle, 283);
  EXPECT_EQ(ran.result.outbound[1].bytes[0], 27);
  EXPECT_EQ(ran.result.outbound[1].bytes[1], 1);
  EXPECT_THAT(fault_of("queue C2C1\ntransmit link 1\nruntime_deskew 25\ntransmit link 1\n"),
              HasSubstr("cycle 26: H6: link 1 is busy until cycle 27"));
}

}  // namespace
}  // namespace tandem::lpu
