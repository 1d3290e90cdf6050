// Chips that exchange vectors: cycles by hand, faults by rule H6.
#include "models/lpu/rack/session.hpp"

#include <gmock/gmock.h>

#include "models/lpu/assembler.hpp"
#include "tests/lpu/rack/shipped_fabrics.hpp"

namespace tandem::lpu {
namespace {

using ::testing::HasSubstr;
using testing::ShippedFabric;

std::vector<std::uint8_t> ramp(int first) {
  std::vector<std::uint8_t> row(320);
  for (std::size_t i = 0; i < row.size(); ++i) {
    row[i] = static_cast<std::uint8_t>(first + static_cast<int>(i));
  }
  return row;
}

std::string number(std::int64_t value) {
  return std::to_string(value);
}

// One vector of chip 0 from slice `from` over link 0, which leads to link 0 of chip 1.
struct Hop {
  int from = 22;           // at position -12 of LPU v1, eleven hops from the C2C at -23
  std::int64_t sent = 13;  // read 2 + 11
  int to = 20;             // at -11, twelve hops
  std::int64_t received = 0;
  std::int64_t read_again = 0;
};

std::string sender(const Hop& hop) {
  return "queue MEM_W" + number(hop.from) + "\n  mem read 0:7 W0\nqueue C2C0\n  nop " +
         number(hop.sent) + "\n  send link 0 W0\n";
}

std::string receiver(const Hop& hop, std::int64_t distance) {
  const std::int64_t written = hop.received + distance;
  return "queue C2C0\n  nop " + number(hop.received) + "\n  recv link 0 -> E0\nqueue MEM_W" +
         number(hop.to) + "\n  nop " + number(written) + "\n  mem write 0:9 E0\n" +
         (hop.read_again > written + 1 ? "  nop " + number(hop.read_again - written - 1) + "\n"
                                       : "") +
         "  mem read 0:9 E1\n";
}

struct Pair {
  explicit Pair(const ShippedFabric& fabric)
      : session(fabric.topology, fabric.geometry, fabric.latencies, true) {}
  void load(const std::string& zero, const std::string& one) {
    programs.clear();
    programs.resize(static_cast<std::size_t>(session.topology().chips()));
    for (Program& program : programs) program.queues.resize(queues());
    programs[0] = assemble(zero, session.geometry()).program;
    programs[1] = assemble(one, session.geometry()).program;
    for (std::size_t chip = 0; chip < programs.size(); ++chip) {
      session.machine(static_cast<int>(chip)).load(programs[chip], {});
    }
    session.machine(0).write_row(22, 0, 7, ramp(3));
    session.machine(0).write_row(40, 0, 7, ramp(3));
  }
  [[nodiscard]] std::size_t queues() const {
    return static_cast<std::size_t>(session.geometry().queue_count());
  }
  std::string fault(std::span<const std::int64_t> starts = {}) {
    try {
      session.run(starts);
    } catch (const ScheduleError& error) {
      return error.what();
    }
    return "runs";
  }
  RackSession session;
  std::vector<Program> programs;
};

const ShippedFabric& node() {
  static const ShippedFabric fabric("lpu_v1_quadfour", {1});
  return fabric;
}

TEST(Rack, C7AHopFromSramToSramTakes270CyclesOr300Nanoseconds) {
  // Read 2, eleven hops, 243 on the link, twelve hops to the write in 268, readable in 270.
  Hop hop;
  hop.received = 13 + 243;
  hop.read_again = 270;
  Pair pair(node());
  pair.load(sender(hop), receiver(hop, 12));
  const RackResult result = pair.session.run();
  EXPECT_EQ(pair.session.machine(1).read_row(20, 0, 9), ramp(3));
  EXPECT_EQ(result.vectors, 1);
  // The last instruction is the read in 270; 20 superlanes.
  EXPECT_EQ(result.cycles, 270 + 20);
  EXPECT_EQ(ClockDomain(node().geometry.clock).time_of(Cycles(270)), Picoseconds(300'000));
  EXPECT_TRUE(find_unmatched(node().topology, pair.programs, node().latencies).empty());
  hop.read_again = 269;
  pair.load(sender(hop), receiver(hop, 12));
  EXPECT_THAT(pair.fault(), HasSubstr("chip 1: lpu MEM_W20 at cycle 269: H9"));
}

TEST(Rack, C7AHopPassedOnBySoftwareTakes722Nanoseconds) {
  // 380 cycles more: 650 of 900 MHz are 722.2 ns.
  const ShippedFabric software("lpu_v1_quadfour", {1}, HopMode::Software);
  Hop hop;
  hop.received = 13 + 243 + 380;
  hop.read_again = 650;
  Pair pair(software);
  pair.load(sender(hop), receiver(hop, 12));
  EXPECT_EQ(pair.session.run().cycles, 650 + 20);
  const std::int64_t time = ClockDomain(software.geometry.clock).time_of(Cycles(650)).count();
  EXPECT_NEAR(static_cast<double>(time) / 1e3, 722, 0.5);
}

TEST(Rack, AHopInsideAnLpxTrayTakes350Nanoseconds) {
  // C2C at 41; slices 40 and 38 at 21 and 20: read 2 + 20 hops, 480, 21 hops, readable 2 later:
  // 525 cycles of 1.5 GHz.
  const ShippedFabric tray("lp30_lpx", {1, 1});
  Hop hop{.from = 40, .sent = 22, .to = 38, .received = 22 + 480, .read_again = 525};
  Pair pair(tray);
  pair.load(sender(hop), receiver(hop, 21));
  EXPECT_EQ(pair.session.run().cycles, 525 + 20);
  EXPECT_EQ(ClockDomain(tray.geometry.clock).time_of(Cycles(525)), Picoseconds(350'000));
}

TEST(Rack, ChipsMayStartAtDifferentCycles) {
  // Chip 1 starts 100 cycles later: the vector comes in its cycle 156.
  Hop hop;
  hop.received = 13 + 243 - 100;
  hop.read_again = 170;
  Pair pair(node());
  pair.load(sender(hop), receiver(hop, 12));
  std::vector<std::int64_t> starts(8, 0);
  starts[1] = 100;
  EXPECT_EQ(pair.session.run(starts).cycles, 100 + 170 + 20);
  EXPECT_TRUE(find_unmatched(node().topology, pair.programs, node().latencies, starts).empty());
  // 300 later it would have to arrive before the program begins.
  starts[1] = 300;
  EXPECT_THAT(pair.fault(starts), HasSubstr("chip 1 has not begun"));
}

TEST(Rack, H6RecvInAnyOtherCycleIsAFault) {
  for (const std::int64_t off : {-1, 1}) {
    Hop hop;
    hop.received = 13 + 243 + off;
    hop.read_again = 280;
    Pair pair(node());
    pair.load(sender(hop), receiver(hop, 12));
    EXPECT_THAT(pair.fault(), HasSubstr("chip 1: lpu C2C0 at cycle " + number(hop.received) +
                                        ": H6: the next vector on link 0 arrives in cycle 256"));
    EXPECT_THAT(
        find_unmatched(node().topology, pair.programs, node().latencies),
        ::testing::ElementsAre("chip 1 link 0: nobody receives what arrives in cycle 256",
                               "chip 1 link 0: nothing arrives in cycle " + number(hop.received)));
  }
}

TEST(Rack, H6AVectorThatNobodyReceivesIsAFault) {
  Pair pair(node());
  pair.load(sender({}), "queue C2C1\n  nop 1\n");
  EXPECT_THAT(pair.fault(), HasSubstr("chip 1: lpu C2C0 at cycle 256: H6"));
}

TEST(Rack, H6ASendOverAnOpenPortIsAFault) {
  // Link 7 is a global port; one node alone has no cable there. C2C7 is in the East: 11 hops.
  Pair pair(node());
  const std::string text =
      "queue MEM_E22\n  mem read 0:7 E0\nqueue C2C7\n  nop 13\n  send link 7 E0\n";
  pair.load(text, "queue C2C0\n  nop 1\n");
  EXPECT_THAT(pair.fault(), HasSubstr("chip 0: lpu C2C7 at cycle 13: H6: a vector is sent over a "
                                      "port without a cable"));
  EXPECT_THAT(find_unmatched(node().topology, pair.programs, node().latencies),
              ::testing::ElementsAre("chip 0 link 7: a send over an open port in cycle 13"));
}

TEST(Rack, ChipsAnswerEachOtherWithinOneRun) {
  // Chip 1 sends back what it received: written to MEM_W43 (position -22, one hop) in 257, read
  // in 259 onto W0, at the C2C in 262, back at chip 0 in 505, in its MEM_W43 in 506.
  const std::string one = R"(
    queue C2C0
      nop 256
      recv link 0 -> E0
      nop 5
      send link 0 W0
    queue MEM_W43
      nop 257
      mem write 0:9 E0
      nop 1
      mem read 0:9 W0
  )";
  const std::string zero = sender({}) + R"(
      nop 491
      recv link 0 -> E0
    queue MEM_W43
      nop 506
      mem write 0:9 E0
  )";
  Pair pair(node());
  pair.load(zero, one);
  EXPECT_EQ(pair.session.run().cycles, 506 + 20);
  EXPECT_EQ(pair.session.machine(0).read_row(43, 0, 9), ramp(3));
  // A second run gives the same.
  EXPECT_EQ(pair.session.run().cycles, 506 + 20);
}

}  // namespace
}  // namespace tandem::lpu
