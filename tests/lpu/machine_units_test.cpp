// Numbers: what the planes and the vector unit compute, and what survives a run.
#include <bit>
#include <limits>

#include "models/lpu/machine_vxm.hpp"
#include "sim/core/timeline.hpp"
#include "tests/lpu/machine_harness.hpp"

namespace tandem::lpu {
namespace {

using testing::data_line;
using testing::east;
using testing::ramp;
using testing::Ran;
using testing::run_program;

std::uint32_t bits(float value) {
  return std::bit_cast<std::uint32_t>(value);
}

std::uint32_t apply(AluOp op, Type type, std::uint32_t x, std::uint32_t y, std::uint32_t own = 0,
                    Type from = Type::Float32) {
  Instruction instruction;
  instruction.alu_op = op;
  instruction.type = type;
  instruction.from = from;
  LaneValues running{7};
  LaneValues result{0};
  apply_alu(instruction, std::span(&x, 1), std::span(&y, 1), std::span(&own, 1), running, result);
  return result[0];
}

TEST(VectorUnit, ComputesFloatOperations) {
  EXPECT_EQ(apply(AluOp::Add, Type::Float32, bits(1.5F), bits(2.0F)), bits(3.5F));
  EXPECT_EQ(apply(AluOp::Sub, Type::Float32, bits(1.5F), bits(2.0F)), bits(-0.5F));
  EXPECT_EQ(apply(AluOp::Mul, Type::Float32, bits(1.5F), bits(-2.0F)), bits(-3.0F));
  EXPECT_EQ(apply(AluOp::Max, Type::Float32, bits(1.5F), bits(-2.0F)), bits(1.5F));
  EXPECT_EQ(apply(AluOp::Min, Type::Float32, bits(1.5F), bits(-2.0F)), bits(-2.0F));
  EXPECT_EQ(apply(AluOp::CmpGreater, Type::Float32, bits(2.0F), bits(1.0F)), bits(1.0F));
  EXPECT_EQ(apply(AluOp::CmpGreater, Type::Float32, bits(1.0F), bits(1.0F)), bits(0.0F));
  EXPECT_EQ(apply(AluOp::Neg, Type::Float32, bits(0.0F), 0), bits(-0.0F));
  EXPECT_EQ(apply(AluOp::Abs, Type::Float32, bits(-2.5F), 0), bits(2.5F));
  EXPECT_EQ(apply(AluOp::Relu, Type::Float32, bits(-2.5F), 0), bits(0.0F));
  EXPECT_EQ(apply(AluOp::Exp, Type::Float32, bits(0.0F), 0), bits(1.0F));
  EXPECT_EQ(apply(AluOp::Rsqrt, Type::Float32, bits(16.0F), 0), bits(0.25F));
  EXPECT_EQ(apply(AluOp::Recip, Type::Float32, bits(8.0F), 0), bits(0.125F));
  EXPECT_EQ(apply(AluOp::Log2, Type::Float32, bits(8.0F), 0), bits(3.0F));
  EXPECT_EQ(apply(AluOp::Tanh, Type::Float32, bits(0.0F), 0), bits(0.0F));
}

TEST(VectorUnit, ComputesIntegersAndBits) {
  EXPECT_EQ(apply(AluOp::Add, Type::Int32, 0xffffffffU, 2), 1U);
  EXPECT_EQ(apply(AluOp::Max, Type::Int32, 0xffffffffU, 2), 2U);  // -1 and 2
  EXPECT_EQ(apply(AluOp::Abs, Type::Int32, 0xffffffffU, 0), 1U);
  EXPECT_EQ(apply(AluOp::And, Type::Int32, 0xf0U, 0x3cU), 0x30U);
  EXPECT_EQ(apply(AluOp::Or, Type::Int32, 0xf0U, 0x3cU), 0xfcU);
  EXPECT_EQ(apply(AluOp::Xor, Type::Int32, 0xf0U, 0x3cU), 0xccU);
  EXPECT_EQ(apply(AluOp::ShiftLeft, Type::Int32, 1, 33), 2U);  // the low five bits: 1
  EXPECT_EQ(apply(AluOp::ShiftRight, Type::Int32, 0x80000000U, 31), 1U);
}

TEST(VectorUnit, SelectsYWhereXIsPositiveElseItsOwnOutput) {
  EXPECT_EQ(apply(AluOp::Select, Type::Float32, bits(0.5F), 11, 22), 11U);
  EXPECT_EQ(apply(AluOp::Select, Type::Float32, bits(0.0F), 11, 22), 22U);
  EXPECT_EQ(apply(AluOp::Select, Type::Float32, bits(-0.5F), 11, 22), 22U);
}

TEST(VectorUnit, Converts) {
  // 1.0 is 0x3c00 in fp16, 0x3f80 in bf16, 0x38 in e4m3; int8 saturates at 127; -3 as int8 is 0xfd.
  EXPECT_EQ(apply(AluOp::Convert, Type::Float16, bits(1.0F), 0), 0x3c00U);
  EXPECT_EQ(apply(AluOp::Convert, Type::Bfloat16, bits(1.0F), 0), 0x3f80U);
  EXPECT_EQ(apply(AluOp::Convert, Type::Fp8E4m3, bits(1.0F), 0), 0x38U);
  EXPECT_EQ(apply(AluOp::Convert, Type::Int8, bits(500.0F), 0), 127U);
  EXPECT_EQ(apply(AluOp::Convert, Type::Int8, bits(-3.0F), 0), 0xfdU);
  EXPECT_EQ(apply(AluOp::Convert, Type::Float32, 0x3c00U, 0, 0, Type::Float16), bits(1.0F));
  EXPECT_EQ(apply(AluOp::Convert, Type::Float32, 0xfffffffdU, 0, 0, Type::Int32), bits(-3.0F));
  EXPECT_EQ(apply(AluOp::Convert, Type::Int16, bits(40000.0F), 0), 0x7fffU);
  EXPECT_EQ(apply(AluOp::Convert, Type::Int16, bits(-2.5F), 0), 0xfffeU);  // ties to even
  EXPECT_EQ(apply(AluOp::Convert, Type::Float32, 0x8000U, 0, 0, Type::Int16), bits(-32768.0F));
}

// Planes 2 and 3 hold the low and high bytes of 16 fp16 columns: 1.0 (0x3c00) in rows 0..159, 2.0
// (0x4000) in the rest; the activation is 2.0 in every lane, low bytes on E16, high bytes on E17.
std::string float16_product(const std::string& halves, int result_cycle) {
  auto high = ramp(0x3c, 0);
  for (std::size_t k = 160; k < 320; ++k) high[k] = 0x40;
  std::string text = data_line(east + 26, 1, 0, ramp(0x40, 0));
  for (int i = 0; i < 16; ++i) {
    const int slice = 28 + i;
    text += data_line(east + slice, 1, 0, high) + "queue MEM_E" + std::to_string(slice) + "\n";
    if (i >= 2) text += "nop " + std::to_string(i / 2) + "\n";
    // Two LWs after each other on the same streams would meet; the second plane loads one cycle
    // later.
    text += "mem read 0:0 E" + std::to_string(i) + "\nmem read 1:0 E" + std::to_string(i) + "\n";
  }
  // LW in 11 (plane 2) and 12 (plane 3), IW in 12 and 13, ABC in 14; slice 26 is 10 away: read
  // in 2.
  text += "queue MEM_E26\nnop 2\nmem read 0:0 E16 | read 1:0 E17\n";
  text += "queue MXM2.weights\nnop 11\nlw plane 2 group 0 E0\niw plane 2\n";
  text += "queue MXM3.weights\nnop 12\nlw plane 3 group 0 E0\niw plane 3\n";
  text += "queue MXM2.compute\nnop 14\nabc plane 2 float16 E16 acc 0 halves " + halves + "\nnop " +
          std::to_string(result_cycle - 14 - std::stoi(halves)) +
          "\nacc plane 2 acc 0 float32 -> W0\n";
  for (int i = 0; i < 4; ++i) {  // MEM_E0..3 at 1, 1, 2, 2, 23 and 22 away
    text += "queue MEM_E" + std::to_string(i) + "\nnop " +
            std::to_string(result_cycle + (i < 2 ? 23 : 22)) + "\nmem write 0:1 W" +
            std::to_string(i) + "\n";
  }
  return text;
}

float first_result(const Machine& machine) {
  std::uint32_t value = 0;
  for (int i = 0; i < 4; ++i) {
    value |= std::uint32_t{machine.read_row(east + i, 0, 1)[0]} << (8 * i);
  }
  return std::bit_cast<float>(value);
}

TEST(MatrixPlane, MultipliesFloat16InHalves) {
  // One half: 160 * 1 * 2 = 320, ready 26 after 14. Both: + 160 * 2 * 2 = 960, ready 26 after 15.
  const Ran one = run_program(float16_product("1", 40));
  EXPECT_EQ(first_result(one.machine), 320.0F);
  EXPECT_EQ(one.result.cycles, 40 + 23 + 20);
  const Ran two = run_program(float16_product("2", 41));
  EXPECT_EQ(first_result(two.machine), 960.0F);
  EXPECT_EQ(two.result.cycles, 41 + 23 + 20);
  EXPECT_EQ(two.result.counts.at("mxm_macs"), 2 * 160 * 320);
}

TEST(Machine, KeepsSramAndStartsTheRestAnewInEveryRun) {
  // Row r1 of MEM_W0 goes to row 50 + r1 of MEM_E0.
  Machine machine(testing::lpu_v1(), {}, true);
  machine.load(assemble(R"(
    limit r1 3
    queue MEM_W0
      notify
      sync
      mem read 0:0+r1 E0
    queue MEM_E0
      sync
      nop 4
      mem write 1:50+r1 E0
  )",
                        testing::lpu_v1()));
  machine.write_row(0, 0, 0, ramp(1, 1));
  machine.write_row(0, 0, 3, ramp(9, 1));
  const RunResult first = machine.run();
  machine.set_register(1, 3);
  const RunResult second = machine.run();
  EXPECT_EQ(first.cycles, second.cycles);
  EXPECT_EQ(first.counts, second.counts);
  EXPECT_EQ(machine.read_row(east, 1, 50), ramp(1, 1));
  EXPECT_EQ(machine.read_row(east, 1, 53), ramp(9, 1));
  EXPECT_THROW(machine.set_register(1, 4), ModelError);
  EXPECT_THROW(machine.set_register(0, 0), ModelError);
  EXPECT_THROW(machine.write_row(0, 0, 4096, ramp(0, 0)), ModelError);
}

TEST(Machine, RecordsOneSpanPerIssue) {
  Machine machine(testing::lpu_v1(), {}, false);
  machine.load(assemble("queue MEM_W0\nmem read 0:0 E0\nrepeat 4 interval 2\n", testing::lpu_v1()));
  TimelineRecorder recorder;
  (void)machine.run({}, {&recorder, "lpu0", Picoseconds(0)});
  EXPECT_EQ(recorder.size(), 5U);
}

TEST(Machine, NamesALinkVectorThatNobodyReceives) {
  Machine machine(testing::lpu_v1(), {}, false);
  machine.load(assemble("queue C2C0\nnop 7\nrecv link 0 -> E0\n", testing::lpu_v1()));
  const std::vector<LinkVector> on_time{{0, 7, {}}};
  EXPECT_EQ(machine.run(on_time).cycles, 27);
  const std::vector<LinkVector> late{{0, 8, {}}};
  EXPECT_THROW((void)machine.run(late), ScheduleError);
  const std::vector<LinkVector> two{{0, 7, {}}, {0, 40, {}}};
  EXPECT_THROW((void)machine.run(two), ScheduleError);
  EXPECT_THROW((void)machine.run(), ScheduleError);
  EXPECT_EQ(machine.run(on_time).cycles, 27);
}

}  // namespace
}  // namespace tandem::lpu
