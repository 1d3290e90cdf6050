// Programs assembled by hand, with hand-counted cycles and memory images. LPU v1: VXM at position
// 0, MEM_E<i> at 1 + i/2 and MEM_W<i> at -(1 + i/2), SXM and C2C at +-23, MXM at +-24. Notify
// issues in cycle 0, so all queues go on in cycle 35; a program lasts until its last issue + 20
// superlanes.
#include <bit>

#include "tests/lpu/machine_harness.hpp"

namespace tandem::lpu {
namespace {

using testing::data_line;
using testing::east;
using testing::ramp;
using testing::Ran;
using testing::run_program;

constexpr int west = 0;  // slice number of MEM_W0

TEST(HandProgram, CopiesAVectorToTheOtherHemisphere) {
  // Read in 35 puts the vector into E0 at -6 (MEM_W10) in 37; +3 (MEM_E4) is 9 further: 46.
  // 46 = 35 + 11. The program ends at 46 + 20 = 66.
  const Ran ran = run_program(data_line(west + 10, 0, 5, ramp(3, 1)) + R"(
    queue MEM_W10
      notify
      sync
      mem read 0:5 E0
    queue MEM_E4
      sync
      nop 11
      mem write 1:7 E0
  )");
  EXPECT_EQ(ran.result.cycles, 66);
  EXPECT_EQ(ran.machine.read_row(east + 4, 1, 7), ramp(3, 1));
  EXPECT_EQ(ran.machine.read_row(east + 4, 0, 7), ramp(0, 0));
  // From -6 to the east edge at +24: 30 hops. Notify, Read, Write.
  EXPECT_EQ(ran.result.counts.at("stream_vector_hops"), 30);
  EXPECT_EQ(ran.result.counts.at("mem_reads"), 1);
  EXPECT_EQ(ran.result.counts.at("mem_writes"), 1);
  EXPECT_EQ(ran.result.counts.at("instructions"), 3);
}

// Rows of the four bytes of one float in every lane, in slices first..first+3.
std::string float_rows(int first, float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  std::string text;
  for (int byte = 0; byte < 4; ++byte) {
    text += data_line(first + byte, 0, 0, ramp(static_cast<int>(bits >> (8 * byte)) & 255, 0));
  }
  return text;
}

TEST(HandProgram, AddsTwoFloatVectorsInTheVectorUnit) {
  // Distances to the VXM: W0,W1 1; W2,W3 2; W4,W5 3; W6,W7 4. The farthest read in 35 arrives in
  // 35 + 2 + 4 = 41, so the others read in 36, 37, 38. The sum lands in 43 and reaches E0,E1 (+1)
  // in 44, E2,E3 (+2) in 45. End 45 + 20 = 65.
  const Ran ran = run_program(float_rows(west, 1.5F) + float_rows(west + 4, 2.25F) + R"(
    queue MEM_W0
      sync
      nop 3
      mem read 0:0 E0
    queue MEM_W1
      sync
      nop 3
      mem read 0:0 E1
    queue MEM_W2
      sync
      nop 2
      mem read 0:0 E2
    queue MEM_W3
      sync
      nop 2
      mem read 0:0 E3
    queue MEM_W4
      sync
      nop 1
      mem read 0:0 E4
    queue MEM_W5
      sync
      nop 1
      mem read 0:0 E5
    queue MEM_W6
      sync
      mem read 0:0 E6
    queue MEM_W7
      sync
      mem read 0:0 E7
    queue VXM0
      notify
      sync
      nop 6
      alu add float32 E0 E4 -> E8
    queue MEM_E0
      sync
      nop 9
      mem write 0:1 E8
    queue MEM_E1
      sync
      nop 9
      mem write 0:1 E9
    queue MEM_E2
      sync
      nop 10
      mem write 0:1 E10
    queue MEM_E3
      sync
      nop 10
      mem write 0:1 E11
  )");
  EXPECT_EQ(ran.result.cycles, 65);
  // 1.5 + 2.25 = 3.75 = 0x40700000.
  EXPECT_EQ(ran.machine.read_row(east + 0, 0, 1), ramp(0x00, 0));
  EXPECT_EQ(ran.machine.read_row(east + 1, 0, 1), ramp(0x00, 0));
  EXPECT_EQ(ran.machine.read_row(east + 2, 0, 1), ramp(0x70, 0));
  EXPECT_EQ(ran.machine.read_row(east + 3, 0, 1), ramp(0x40, 0));
}

// 16 columns in MEM_E28..E43 at distances 9..2 from plane 2. The nearest-to-VXM pair reads in 35,
// so LW is in 35 + 2 + 9 = 46, IW in 47, ABC in 48. The activation comes from MEM_E26 (distance
// 10): read in 36. ACC in 48 + 26 = 74; the VXM is 24 away: 98; its result lands in 100 and reaches
// W0,W1 in 101, W2,W3 in 102. End 102 + 20 = 122.
std::string gemv(const std::string& type, const std::string& result_type) {
  std::string text;
  for (int i = 0; i < 16; ++i) {
    const int distance = 24 - (1 + (28 + i) / 2);
    text += "queue MEM_E" + std::to_string(28 + i) + "\nsync\n";
    if (distance < 9) text += "nop " + std::to_string(9 - distance) + "\n";
    text += "mem read 0:0 E" + std::to_string(i) + "\n";
  }
  text += "queue MEM_E26\nsync\nnop 1\nmem read 0:0 E16\n";
  text += "queue MXM2.weights\nnotify\nsync\nnop 11\nlw plane 2 group 0 E0\niw plane 2\n";
  text += "queue MXM2.compute\nsync\nnop 13\nabc plane 2 " + type + " E16 acc 5\nnop 25\n" +
          "acc plane 2 acc 5 " + result_type + " -> W0\n";
  text += "queue VXM4\nsync\nnop 63\nalu pass " + result_type + " W0 -> W4\n";
  for (int i = 0; i < 4; ++i) {
    text += "queue MEM_W" + std::to_string(i) + "\nsync\nnop " + (i < 2 ? "66" : "67") +
            "\nmem write 1:9 W" + std::to_string(4 + i) + "\n";
  }
  return text;
}

std::uint32_t result_lane(const Machine& machine, std::size_t lane) {
  std::uint32_t value = 0;
  for (int byte = 0; byte < 4; ++byte) {
    value |= std::uint32_t{machine.read_row(west + byte, 1, 9)[lane]} << (8 * byte);
  }
  return value;
}

TEST(HandProgram, MultipliesSixteenInt8Columns) {
  // Column j holds j - 8 in every row, the activation 2 in every lane: 320 * 2 * (j - 8).
  std::string data = data_line(east + 26, 0, 0, ramp(2, 0));
  for (int j = 0; j < 16; ++j) data += data_line(east + 28 + j, 0, 0, ramp(j - 8, 0));
  const Ran ran = run_program(data + gemv("int8", "int32"));
  EXPECT_EQ(ran.result.cycles, 122);
  for (int j = 0; j < 16; ++j) {
    EXPECT_EQ(std::bit_cast<std::int32_t>(result_lane(ran.machine, static_cast<std::size_t>(j))),
              640 * (j - 8));
  }
  EXPECT_EQ(result_lane(ran.machine, 16), 0U);  // a column that was never loaded
  EXPECT_EQ(ran.result.counts.at("mxm_macs"), 320 * 320);
  EXPECT_EQ(ran.result.counts.at("weight_vectors_installed"), 16);
  EXPECT_EQ(ran.result.counts.at("vxm_ops"), 1);
}

TEST(HandProgram, MultipliesSixteenFp8Columns) {
  // e4m3: 0x38 = 1, 0x40 = 2, 0x01 = 2^-9. Column j is 2 in rows 0..19j and 2^-9 in the rest; the
  // activation is 1: (19 j + 1) * 2 + (319 - 19 j) / 512, exact in float.
  std::string data = data_line(east + 26, 0, 0, ramp(0x38, 0));
  for (int j = 0; j < 16; ++j) {
    auto column = ramp(0x01, 0);
    for (std::size_t k = 0; k <= static_cast<std::size_t>(19 * j); ++k) column[k] = 0x40;
    data += data_line(east + 28 + j, 0, 0, column);
  }
  const Ran ran = run_program(data + gemv("fp8_e4m3", "float32"));
  EXPECT_EQ(ran.result.cycles, 122);
  for (int j = 0; j < 16; ++j) {
    const double expected = (19 * j + 1) * 2.0 + (319 - 19 * j) / 512.0;
    EXPECT_EQ(std::bit_cast<float>(result_lane(ran.machine, static_cast<std::size_t>(j))),
              static_cast<float>(expected));
  }
}

TEST(HandProgram, RepeatsAndLoopsWithStrides) {
  // Reads in 35 + {0, 2, 4, 6} + {0, 10, 20} of rows {0..3} + {0, 16, 32}; each write 2 + 2 cycles
  // later (MEM_W0 at -1 to MEM_E0 at +1). Last write in 35 + 26 + 4 = 65, end 85. The queue of the
  // reader goes on in 35 + 3 * 10 = 65 with one more read, of row 99, written in 69: end 89.
  std::string data;
  for (int i = 0; i < 36; ++i) data += data_line(west, 0, i, ramp(i, 0));
  data += data_line(west, 0, 99, ramp(99, 0));
  const Ran ran = run_program(data + R"(
    queue MEM_W0
      notify
      sync
      mem read 0:0 E0
      repeat 3 interval 2 stride 1
      loop 2 width 2 interval 10 stride 16
      mem read 0:99 E0
    queue MEM_E0
      sync
      nop 4
      mem write 1:200 E0
      repeat 3 interval 2 stride 1
      loop 2 width 2 interval 10 stride 4
      mem write 1:50 E0
  )");
  EXPECT_EQ(ran.result.cycles, 89);
  for (int i = 0; i < 12; ++i) {
    EXPECT_EQ(ran.machine.read_row(east, 1, 200 + i), ramp(16 * (i / 4) + i % 4, 0));
  }
  EXPECT_EQ(ran.machine.read_row(east, 1, 50), ramp(99, 0));
  EXPECT_EQ(ran.result.counts.at("mem_reads"), 13);
}

TEST(HandProgram, TransposesSixteenStreams) {
  // MEM_E12..E27 lie at 7..14, SXM_E at 23: the farthest read in 35 is there in 35 + 2 + 16 = 53.
  // The result leaves in 57 westward and reaches 7 in 57 + 16 = 73: end 93.
  std::string text;
  for (int i = 0; i < 16; ++i) {
    const int distance = 23 - (1 + (12 + i) / 2);
    text += data_line(east + 12 + i, 0, 0, ramp(i, 16));  // lane l of stream i: 16 l + i
    text += "queue MEM_E" + std::to_string(12 + i) + "\n" + (i == 0 ? "notify\n" : "") + "sync\n";
    if (distance < 16) text += "nop " + std::to_string(16 - distance) + "\n";
    text += "mem read 0:0 E" + std::to_string(i) + "\n";
    // From one cycle after the read in 51 - distance to the write in 57 + distance.
    text += "nop " + std::to_string(5 + 2 * distance) + "\n";
    text += "mem write 1:0 W" + std::to_string(i) + "\n";
  }
  text += "queue SXM_E0\nsync\nnop 18\ntranspose E0 -> W0\n";
  const Ran ran = run_program(text);
  EXPECT_EQ(ran.result.cycles, 93);
  // Result stream j, superlane k, lane i = stream i, lane 16 k + j = 16 (16 k + j) + i = 16 j + i
  // modulo 256.
  for (int j = 0; j < 16; ++j) {
    const auto row = ran.machine.read_row(east + 12 + j, 1, 0);
    for (std::size_t lane = 0; lane < row.size(); ++lane) {
      ASSERT_EQ(row[lane], static_cast<std::uint8_t>(16 * j + static_cast<int>(lane % 16)));
    }
  }
}

// MEM_E12 (+7) to SXM_E (+23) and back to MEM_E0 (+1): the operand is there in 35 + 2 + 16 = 53.
Ran run_switch(const std::string& operation, int write_cycle) {
  return run_program(data_line(east + 12, 0, 0, ramp(0, 1)) +
                     "map 5 - 0 1 2 3 4 15 6 7 8 9 10 11 12 13\n"
                     "queue MEM_E12\nnotify\nsync\nmem read 0:0 E4\n"
                     "queue SXM_E3\nsync\nnop 18\n" +
                     operation + "\nqueue MEM_E0\nsync\nnop " + std::to_string(write_cycle - 35) +
                     "\nmem write 0:0 W8\n");
}

TEST(HandProgram, DistributesWithinSuperlanes) {
  // Result in 53 + 2 = 55, 22 hops to MEM_E0: 77. End 97.
  const Ran ran = run_switch("distribute int8 E4 map 0 -> W8", 77);
  EXPECT_EQ(ran.result.cycles, 97);
  const auto row = ran.machine.read_row(east, 0, 0);
  EXPECT_EQ(row[0], 5);    // map[0] = 5
  EXPECT_EQ(row[1], 0);    // zero fill
  EXPECT_EQ(row[7], 15);   // map[7] = 15
  EXPECT_EQ(row[16], 21);  // second superlane: 16 + 5
}

TEST(HandProgram, ShiftsAcrossSuperlanes) {
  // Result in 53 + 22 = 75, written in 97. End 117.
  const Ran ran = run_switch("shift int8 E4 by 18 -> W8", 97);
  EXPECT_EQ(ran.result.cycles, 117);
  const auto row = ran.machine.read_row(east, 0, 0);
  EXPECT_EQ(row[17], 0);
  EXPECT_EQ(row[18], 0);
  EXPECT_EQ(row[19], 1);
  EXPECT_EQ(row[319], static_cast<std::uint8_t>(301));
}

TEST(HandProgram, SendsAVectorToAnotherChip) {
  // MEM_E0 (+1) to C2C_E (+23): Send in 35 + 2 + 22 = 59, end 79.
  const Ran sender = run_program(data_line(east, 0, 3, ramp(7, 3)) + R"(
    queue MEM_E0
      notify
      sync
      mem read 0:3 E9
    queue C2C1
      sync
      nop 24
      send link 1 E9
  )");
  EXPECT_EQ(sender.result.cycles, 79);
  ASSERT_EQ(sender.result.outbound.size(), 1U);
  LinkVector vector = sender.result.outbound[0];
  EXPECT_EQ(vector.cycle, 59);
  // 270 cycles later it arrives on link 0 of the other chip: Recv in 329 = 35 + 294 at -23, MEM_W0
  // (-1) is 22 further: Write in 351, end 371.
  vector.cycle += 270;
  vector.link = 0;
  const Ran receiver = run_program(R"(
    queue C2C0
      notify
      sync
      nop 294
      recv link 0 -> E2
    queue MEM_W0
      sync
      nop 316
      mem write 0:4 E2
  )",
                                   testing::lpu_v1(), {}, std::span(&vector, 1));
  EXPECT_EQ(receiver.result.cycles, 371);
  EXPECT_EQ(receiver.machine.read_row(west, 0, 4), ramp(7, 3));
}

}  // namespace
}  // namespace tandem::lpu
