// Closed forms of the machine description, measured on the machine, and the latency table entry by
// entry. Positions and cycles as in machine_programs_test.cpp.
#include <gmock/gmock.h>

#include "tests/lpu/machine_harness.hpp"

namespace tandem::lpu {
namespace {

using testing::data_line;
using testing::east;
using testing::fault_of;
using ::testing::HasSubstr;
using testing::ramp;
using testing::run_program;

std::string nop(int cycles) {
  return cycles > 0 ? "nop " + std::to_string(cycles) + "\n" : "";
}

// All four planes load at once. In each hemisphere the 16 slices nearest to the planes
// (28..43, 9..2 hops away) read 20 rows of both banks, bank 0 for the even plane on streams 0..15,
// bank 1 for the odd one on 16..31. First reads in 35; LW in 46..65; IW in 66.
std::string install_all_planes() {
  std::string text;
  for (const char side : {'W', 'E'}) {
    for (int i = 0; i < 16; ++i) {
      const int distance = 24 - (1 + (28 + i) / 2);
      const std::string s(1, side);
      text += "queue MEM_" + s + std::to_string(28 + i) + "\nsync\n" + nop(9 - distance) +
              "mem read 0:0 " + s + std::to_string(i) + " | read 1:0 " + s +
              std::to_string(16 + i) + "\nrepeat 19 interval 1 stride 1\n";
    }
  }
  for (int plane = 0; plane < 4; ++plane) {
    const std::string p = std::to_string(plane);
    text += "queue MXM" + p + ".weights\n" + (plane == 0 ? "notify\n" : "") + "sync\nnop 11\n";
    for (int group = 0; group < 20; ++group) {
      text += "lw plane " + p + " group " + std::to_string(group) + (plane < 2 ? " W" : " E") +
              (plane % 2 == 0 ? "0\n" : "16\n");
    }
    text += "iw plane " + p + "\n";
  }
  return text;
}

// `count` activations, one per cycle from `first` on, from slice 26 (10 hops) on streams 0 and 1.
std::string activate(int first, int count, const std::string& type, int plane_step) {
  std::string text;
  const std::string repeat = std::to_string(count - 2) + " interval 1\n";
  for (const std::string s : {"W", "E"}) {
    text += "queue MEM_" + s + "26\nsync\n" + nop(first - 12 - 35) + "mem read 0:0 " + s +
            "0 | read 1:0 " + s + "1\nrepeat " + std::to_string(count - 1) + " interval 1\n";
  }
  for (int plane = 0; plane < 4; plane += plane_step) {
    const std::string p = std::to_string(plane);
    const std::string abc = "abc plane " + p + " " + type + (plane < 2 ? " W0" : " E0") + " acc 0";
    text += "queue MXM" + p + ".compute\nsync\n" + nop(first - 35) + abc + "\n" + abc +
            " add\nrepeat " + repeat;
  }
  return text;
}

TEST(ClosedForm, C1WeightsOfAllPlanesAreActiveAfter32Cycles) {
  // d_read 2 + distance 9 + 20 LW + IW 1 = 32: the first reads are in 35, so 67 is the first cycle
  // in which an ABC may issue.
  EXPECT_EQ(fault_of(install_all_planes() + activate(67, 2, "int8", 1)), "runs");
  EXPECT_THAT(fault_of(install_all_planes() + activate(66, 2, "int8", 1)),
              HasSubstr("at cycle 66: H5"));
}

TEST(ClosedForm, C2PeakIs409600MultiplyAddsPerCycle) {
  // 100 cycles of all planes: 4 * 320 * 320 per cycle; 16-bit: 2 pairs * 160 * 320 = a quarter.
  const auto bytes = run_program(install_all_planes() + activate(67, 100, "fp8_e4m3", 1));
  EXPECT_EQ(bytes.result.counts.at("mxm_macs"), 100 * 409600);
  const auto halves = run_program(install_all_planes() + activate(67, 100, "float16", 2));
  EXPECT_EQ(halves.result.counts.at("mxm_macs"), 100 * 102400);
  // The last ABC of 100 is in 166 either way.
  EXPECT_EQ(bytes.result.cycles, 186);
  EXPECT_EQ(halves.result.cycles, 186);
}

TEST(ClosedForm, C3WeightsEnterAt20480BytesPerCycle) {
  // 4 planes * 320 vectors of 320 B in the 20 cycles of LW: 64 streams * 320 B.
  const auto ran = run_program(install_all_planes());
  EXPECT_EQ(ran.result.counts.at("weight_vectors_installed") * 320 / 20, 20480);
  EXPECT_EQ(ran.result.cycles, 66 + 20);
}

TEST(ClosedForm, C6ALinkTakesAVectorEvery27Cycles) {
  const auto send_every = [](const std::string& interval) {
    return "queue MEM_E0\nmem read 0:0 E0\nrepeat 9 interval " + interval +
           "\nqueue C2C1\nnop 24\nsend link 1 E0\nrepeat 9 interval " + interval + "\n";
  };
  EXPECT_THAT(fault_of(send_every("26")), HasSubstr("H6: link 1"));
  const auto ran = run_program(send_every("27"));
  ASSERT_EQ(ran.result.outbound.size(), 10U);
  EXPECT_EQ(ran.result.outbound[9].cycle - ran.result.outbound[0].cycle, 9 * 27);
}

TEST(ClosedForm, Lp30InstallsAPlaneInFourIssues) {
  // 80 weight streams per plane beside the 32 general ones: slices 0..79 read one column each;
  // slice i lies at 1 + i/2, the planes at 42. The farthest reads in 0, so LW is in 2 + 41
  // = 43..46, IW in 47, ABC in 48.
  std::string text;
  for (int i = 0; i < 80; ++i) {
    text += "queue MEM_E" + std::to_string(i) + "\n" + nop(i / 2) + "mem read 0:0 E" +
            std::to_string(32 + i) + "\nrepeat 3 interval 1 stride 1\n";
  }
  text += "queue MXM2.weights\nnop 43\n";
  for (int group = 0; group < 4; ++group) {
    text += "lw plane 2 group " + std::to_string(group) + " E32\n";
  }
  text += "iw plane 2\n";
  const auto ran = run_program(text, testing::lp30());
  EXPECT_EQ(ran.result.counts.at("weight_vectors_installed"), 320);
  EXPECT_EQ(ran.result.cycles, 47 + 20);
}

// --- The latency table, entry by entry ---

// Read, write four cycles later, read again two cycles later, and write that one to MEM_E2 (+2).
constexpr const char* write_and_read_again = R"(
  queue MEM_W0
    mem read 0:0 E0
  queue MEM_E0
    nop 4
    mem write 1:0 E0
    nop 1
    mem read 1:0 E1
  queue MEM_E2
    nop 9
    mem write 0:0 E1
)";

// The map comes from MEM_W2 (-2); MEM_W0 (-1) gathers in 3, its vector leaves in 6 and is at +1
// in 8.
constexpr const char* gather = R"(
  queue MEM_W2
    mem read 0:0 E2 | read 1:0 E3
  queue MEM_W0
    nop 3
    mem gather 0:10 E8 map E2
  queue MEM_E0
    nop 8
    mem write 0:0 E8
)";

std::string vector_operation(const std::string& operation, int latency) {
  return "queue VXM3\nalu " + operation + " float32 #3f800000 -> E0\nqueue MEM_E0\n" +
         nop(1 + latency) + "mem write 0:0 E0\n";
}

// As the 16-column product of machine_programs_test.cpp, without Sync: LW in 11, IW in 12, ABC in
// 13 (MEM_E26, 10 hops, read in 1), ACC in 39, written by MEM_E26 (+14) ten cycles later.
std::string product() {
  std::string text;
  for (int i = 0; i < 16; ++i) {
    text += "queue MEM_E" + std::to_string(28 + i) + "\n" + nop(i / 2) + "mem read 0:0 E" +
            std::to_string(i) + "\n";
  }
  return text + R"(
    queue MEM_E26
      nop 1
      mem read 0:0 E16
      nop 47
      mem write 0:1 W0
    queue MXM2.weights
      nop 11
      lw plane 2 group 0 E0
      iw plane 2
    queue MXM2.compute
      nop 13
      abc plane 2 int8 E16 acc 0
      nop 25
      acc plane 2 acc 0 int32 -> W0
  )";
}

std::string switch_operation(const std::string& operation, int streams, int latency) {
  // MEM_E28..43 lie at 15..22, 8..1 from SXM_E: operands there in 10.
  std::string text;
  for (int i = 0; i < streams; ++i) {
    text += "queue MEM_E" + std::to_string(28 + i) + "\n" + nop(i / 2) + "mem read 0:0 E" +
            std::to_string(i) + "\n";
  }
  text += "queue SXM_E0\nnop 10\n" + operation + "\n";
  // MEM_E0 (+1) is 22 from SXM_E.
  return text + "queue MEM_E0\n" + nop(10 + latency + 22) + "mem write 0:0 W0\n";
}

// MEM_W0 holds three words; the fourth comes by Ifetch. MEM_W2 (-2) reads both vectors in 0, they
// are at -1 in 3, and the fourth word may be used from 3 + 4 = 7 on.
const std::string fetched_read = testing::data_of_words(2, {"mem read 0:9 E5"}) + R"(
  preload MEM_W0 3
  queue MEM_W2
    mem read 0:0 E2 | read 1:0 E3
  queue MEM_W0
    nop 3
    ifetch E2
    nop 3
    mem read 0:9 E5
)";

struct LatencyUse {
  const char* name;
  int LatencyTable::*entry;
  std::string program;
};

std::vector<LatencyUse> latency_uses() {
  return {
      {"mem_read", &LatencyTable::mem_read, write_and_read_again},
      {"mem_write_to_read", &LatencyTable::mem_write_to_read, write_and_read_again},
      {"mem_gather", &LatencyTable::mem_gather, gather},
      {"vxm_simple", &LatencyTable::vxm_simple, vector_operation("neg", 2)},
      {"vxm_special", &LatencyTable::vxm_special, vector_operation("exp", 5)},
      {"mxm_load", &LatencyTable::mxm_load, product()},
      {"mxm_install", &LatencyTable::mxm_install, product()},
      {"mxm_result", &LatencyTable::mxm_result, product()},
      {"sxm_cross", &LatencyTable::sxm_cross, switch_operation("shift int8 E0 by 1 -> W0", 1, 22)},
      {"sxm_distribute", &LatencyTable::sxm_distribute,
       "map 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15\n" +
           switch_operation("distribute int8 E0 map 0 -> W0", 1, 2)},
      {"sxm_transpose", &LatencyTable::sxm_transpose,
       switch_operation("transpose E0 -> W0", 16, 4)},
      {"sxm_rotate", &LatencyTable::sxm_rotate, switch_operation("rotate E0 by 3 -> W0", 1, 4)},
      {"icu_fetch", &LatencyTable::icu_fetch, fetched_read},
      {"barrier", &LatencyTable::barrier, "queue MEM_W0\nnotify\nsync\nmem read 0:0 E0\n"},
  };
}

TEST(LatencyTable, EveryEntryChangesWhatTheMachineDoes) {
  // 14 entries of int: a new one must be added above.
  static_assert(sizeof(LatencyTable) == 14 * sizeof(int));
  ASSERT_EQ(latency_uses().size(), 14U);
  for (const LatencyUse& use : latency_uses()) {
    SCOPED_TRACE(use.name);
    const std::int64_t cycles = run_program(use.program).result.cycles;
    LatencyTable perturbed;
    perturbed.*use.entry += 1;
    if (fault_of(use.program, testing::lpu_v1(), perturbed) != "runs") continue;
    EXPECT_NE(testing::execute(use.program, testing::lpu_v1(), perturbed).result.cycles, cycles);
  }
}

TEST(LatencyTable, RefusesLatenciesThatNoPipelineHas) {
  LatencyTable zero;
  zero.mem_read = 0;
  EXPECT_THROW(Machine(testing::lpu_v1(), zero, false), ModelError);
  LatencyTable endless;
  endless.vxm_special = 16;
  EXPECT_THROW(Machine(testing::lpu_v1(), endless, false), ModelError);
}

TEST(Gather, TakesARowPerSuperlane) {
  // Superlane k takes row 10 + map value of its first lane: low byte k, high byte 0.
  std::string data;
  auto low = ramp(0, 0);
  for (std::size_t lane = 0; lane < low.size(); lane += 16) {
    low[lane] = static_cast<std::uint8_t>(lane / 16);
  }
  data += data_line(2, 0, 0, low);
  for (int row = 0; row < 20; ++row) data += data_line(0, 0, 10 + row, ramp(row, 0));
  const auto ran = run_program(data + gather);
  const auto row = ran.machine.read_row(east, 0, 0);
  for (std::size_t lane = 0; lane < row.size(); ++lane) ASSERT_EQ(row[lane], lane / 16);
  // Write in 8, 20 superlanes.
  EXPECT_EQ(ran.result.cycles, 28);
}

TEST(Scatter, WritesARowPerSuperlane) {
  // The inverse: superlane k of the data goes to row 300 + 256 * (k mod 2), from the high byte.
  auto high = ramp(0, 0);
  for (std::size_t k = 1; k < 20; k += 2) high[16 * k] = 1;
  const auto ran = run_program(data_line(2, 1, 0, high) + data_line(3, 0, 0, ramp(1, 1)) + R"(
    queue MEM_W2
      mem read 0:0 E2 | read 1:0 E3
    queue MEM_W3
      mem read 0:0 E4
    queue MEM_W0
      nop 3
      mem scatter 1:300 E4 map E2
  )");
  const auto even = ran.machine.read_row(0, 1, 300);
  const auto odd = ran.machine.read_row(0, 1, 556);
  for (std::size_t lane = 0; lane < even.size(); ++lane) {
    const auto value = static_cast<std::uint8_t>(1 + lane);
    ASSERT_EQ(even[lane], lane / 16 % 2 == 0 ? value : 0);
    ASSERT_EQ(odd[lane], lane / 16 % 2 == 1 ? value : 0);
  }
}

}  // namespace
}  // namespace tandem::lpu
