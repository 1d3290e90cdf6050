// Vector unit and switch unit by hand: chains of ALUs, running values, Rotate, Sel3, Permute.
// Positions as in machine_programs_test.cpp; queues start in cycle 0.
#include "tests/lpu/machine_harness.hpp"

namespace tandem::lpu {
namespace {

using testing::data_line;
using testing::east;
using testing::ramp;
using testing::run_program;

TEST(HandLanes, ChainsTwoAlusThroughARegister) {
  // 1.5 = 0x3fc00000 in W0..W3: W2, W3 (2 away) read in 0, W0, W1 in 1; at the VXM in 4. Twice the
  // value is in ALU 0's register in 6, plus one leaves ALU 1 in 8: 4.0 = 0x40800000. Written by E0,
  // E1 in 9 and by E2, E3 in 10: end 30.
  const auto ran =
      run_program(data_line(2, 0, 0, ramp(0xc0, 0)) + data_line(3, 0, 0, ramp(0x3f, 0)) +
                  R"(
    queue MEM_W0
      nop 1
      mem read 0:0 E0
    queue MEM_W1
      nop 1
      mem read 0:0 E1
    queue MEM_W2
      mem read 0:0 E2
    queue MEM_W3
      mem read 0:0 E3
    queue VXM0
      nop 4
      alu mul float32 E0 #40000000
    queue VXM1
      nop 6
      alu add float32 alu0 #3f800000 -> E4
    queue MEM_E0
      nop 9
      mem write 0:1 E4
    queue MEM_E1
      nop 9
      mem write 0:1 E5
    queue MEM_E2
      nop 10
      mem write 0:1 E6
    queue MEM_E3
      nop 10
      mem write 0:1 E7
  )");
  EXPECT_EQ(ran.result.cycles, 30);
  EXPECT_EQ(ran.machine.read_row(east + 2, 0, 1), ramp(0x80, 0));
  EXPECT_EQ(ran.machine.read_row(east + 3, 0, 1), ramp(0x40, 0));
  EXPECT_EQ(ran.machine.read_row(east, 0, 1), ramp(0, 0));
}

TEST(HandLanes, AccumulatesOverTime) {
  // 1, then + 5 three times: 6, 11, 16 leave in 3, 4, 5 and are written in 4, 5, 6: end 26.
  const auto ran = run_program(R"(
    queue VXM0
      alu acc_clear int32 #00000001
      alu acc_add int32 #00000005 -> E0
      repeat 2 interval 1
    queue MEM_E0
      nop 4
      mem write 0:0 E0
      repeat 2 interval 1 stride 1
  )");
  EXPECT_EQ(ran.result.cycles, 26);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(ran.machine.read_row(east, 0, i), ramp(6 + 5 * i, 0));
}

TEST(HandLanes, MasksWhatIsEqual) {
  // eq of 7 and 7 is 1.0f = 0x3f800000, whose mask has all bits: it leaves in 6, written in 7:
  // end 27.
  const auto ran = run_program(R"(
    queue VXM0
      alu pass int32 #00000007
    queue VXM1
      nop 2
      alu eq int32 alu0 #00000007
    queue VXM2
      nop 4
      alu mask int32 alu1 -> E0
    queue MEM_E0
      nop 7
      mem write 0:0 E2
  )");
  EXPECT_EQ(ran.result.cycles, 27);
  EXPECT_EQ(ran.machine.read_row(east, 0, 0), ramp(255, 0));
}

// MEM_E28 (+15) to SXM_E (+23): read in 0, there in 10; the result leaves in 10 + latency and is at
// MEM_E0 (+1) 22 cycles later.
testing::Ran run_switch(const std::string& head, const std::string& operation, int latency,
                        const std::string& stream) {
  return run_program(data_line(east + 28, 0, 0, ramp(0, 1)) + head +
                     "queue MEM_E28\nmem read 0:0 E0\nqueue SXM_E0\nnop 10\n" + operation +
                     "\nqueue MEM_E0\nnop " + std::to_string(32 + latency) + "\nmem write 0:0 " +
                     stream + "\n");
}

TEST(HandLanes, RotatesThreeByThree) {
  // Stream 5 is turned by one row and two columns: place (0, 0) gets (1, 2), lane 5; place (1, 1)
  // gets (2, 0), lane 6. Written in 10 + 4 + 22 = 36: end 56.
  const auto ran = run_switch("", "rotate E0 by 3 -> W0", 4, "W5");
  EXPECT_EQ(ran.result.cycles, 56);
  const auto row = ran.machine.read_row(east, 0, 0);
  EXPECT_EQ(row[0], 5);
  EXPECT_EQ(row[4], 6);
  EXPECT_EQ(row[9], 0);
  EXPECT_EQ(row[16], 21);
}

TEST(HandLanes, RotatesFourByFour) {
  // Stream 15 is turned by three rows and three columns: place (1, 1) gets (0, 0).
  const auto ran = run_switch("", "rotate E0 by 4 -> W16", 4, "W31");
  const auto row = ran.machine.read_row(east, 0, 0);
  EXPECT_EQ(row[5], 0);
  EXPECT_EQ(row[0], 15);
  EXPECT_EQ(row[32 + 5], 32);
}

std::string map_of(const std::vector<int>& entries) {
  std::string text = "map";
  for (const int entry : entries) text += entry < 0 ? " -" : " " + std::to_string(entry);
  return text + "\n";
}

TEST(HandLanes, SelectsAmongThreeShifts) {
  // Lane 0 from lane -4 and lane 319 from lane 323 do not exist. Written in 10 + 22 + 22: end 74.
  std::vector<int> map(320, 0);
  map[0] = 1;
  map[1] = 2;
  map[2] = -1;
  map[8] = 1;
  map[319] = 2;
  const auto ran = run_switch(map_of(map), "sel3 int8 E0 by 4 map 0 -> W3", 22, "W3");
  EXPECT_EQ(ran.result.cycles, 74);
  const auto row = ran.machine.read_row(east, 0, 0);
  EXPECT_EQ(row[0], 0);
  EXPECT_EQ(row[1], 5);
  EXPECT_EQ(row[2], 0);
  EXPECT_EQ(row[3], 3);
  EXPECT_EQ(row[8], 4);
  EXPECT_EQ(row[318], static_cast<std::uint8_t>(318));
  EXPECT_EQ(row[319], 0);
}

TEST(HandLanes, PermutesAllLanes) {
  std::vector<int> map(320);
  for (int lane = 0; lane < 320; ++lane) map[static_cast<std::size_t>(lane)] = 319 - lane;
  const auto ran = run_switch(map_of(map), "permute int8 E0 map 0 -> W3", 22, "W3");
  EXPECT_EQ(ran.result.cycles, 74);
  EXPECT_EQ(ran.machine.read_row(east, 0, 0), ramp(319, -1));
}

}  // namespace
}  // namespace tandem::lpu
