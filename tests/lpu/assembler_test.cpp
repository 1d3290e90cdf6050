#include "models/lpu/assembler.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "models/lpu/listing.hpp"
#include "sim/core/diagnostics.hpp"
#include "tests/lpu/random_instruction.hpp"

namespace tandem::lpu {
namespace {

using ::testing::HasSubstr;
using testing::legal_maps;
using testing::lp30;
using testing::lpu_v1;

TEST(Assembler, ReadsBackEveryListing) {
  RandomStream random(7, "listing");
  for (const Geometry& geometry : {lpu_v1(), lp30()}) {
    for (int round = 0; round < 20; ++round) {
      ProgramImage image;
      image.program.chip = "some_chip";
      image.program.queues.resize(static_cast<std::size_t>(geometry.queue_count()));
      image.program.maps = legal_maps(geometry);
      image.program.register_limits[2] = 9;
      image.program.rows_used.assign(
          static_cast<std::size_t>(geometry.mem_slices() * geometry.banks), 0);
      image.program.rows_used[5] = 12;
      image.rows.push_back({1, 1, 3, std::vector<std::uint8_t>(320, 0x5c)});
      for (int i = 0; i < 100; ++i) {
        int queue = 0;
        const Instruction word = testing::random_instruction(random, geometry, queue);
        image.program.queues[static_cast<std::size_t>(queue)].push_back(word);
      }
      const std::string text = list_program(image, geometry);
      ASSERT_EQ(assemble(text, geometry), image) << text;
    }
  }
}

TEST(Listing, ShowsTheCycleOfEveryWordAndLoopsCompactly) {
  const auto image = assemble(
      "queue MEM_W0\nsync\nnop 4\nmem read 0:7+r1 E3\nrepeat 2 interval 5 stride 1\n"
      "loop 1 width 3 interval 20\nmem write 1:0 W1\n",
      lpu_v1());
  // After Sync: Nop 0..3, Read in 4, 9, 14; body from 0, 2 * 20 = 40 cycles; Write in 40.
  EXPECT_EQ(list_program(image, lpu_v1()),
            "\nqueue MEM_W0\n"
            "  sync                                             ; 0\n"
            "  nop 4                                            ; to +4\n"
            "  mem read 0:7+r1 E3                               ; +4\n"
            "  repeat 2 interval 5 stride 1                     ; last at +14\n"
            "  loop 1 width 3 interval 20                       ; body from +0, to +40\n"
            "  mem write 1:0 W1                                 ; +40\n");
}

std::string complaints(std::string_view text) {
  try {
    (void)assemble(text, lpu_v1(), "p.lpuasm");
  } catch (const ConfigError& error) {
    std::string all;
    for (const Diagnostic& diagnostic : error.diagnostics()) {
      all += format_diagnostic(diagnostic) + "\n";
    }
    return all;
  }
  return "";
}

TEST(Assembler, ReportsEveryFaultAtItsPlace) {
  EXPECT_EQ(complaints("queue MEM_X0\n"), "p.lpuasm:1:7: error: the chip has no such queue\n");
  EXPECT_EQ(complaints("queue MEM_W0\n  mem reed 0:0 E0\n  nop 70000\n"),
            "p.lpuasm:2:7: error: 'reed' where read, write, gather or scatter is needed\n"
            "p.lpuasm:3:7: error: the count is 70000; it must be in 0..65535\n");
  EXPECT_EQ(complaints("queue VXM0\n  alu ad float32 E0 E4\n"),
            "p.lpuasm:2:7: error: unknown ALU operation 'ad'; did you mean 'add'?\n");
  EXPECT_EQ(complaints("queue MEM_W0\n  mem read 0:0\n"),
            "p.lpuasm:2:15: error: the line ends where a stream is needed\n");
  EXPECT_EQ(complaints("sync\n"), "p.lpuasm:1:1: error: an instruction before the first 'queue'\n");
  EXPECT_EQ(complaints("queue VXM0\nalu add float32 E0 E4 -> E9\n"),
            "p.lpuasm:2:26: error: H4: stream E9 is not aligned to a group of 4\n");
  EXPECT_THAT(complaints("queue MEM_W0\nmem read 0:0 E0 | read 0:1 E1\n"),
              HasSubstr("H2: two accesses of bank 0 in one word"));
  EXPECT_THAT(complaints("queue VXM0\nalu exp float32 E0\n"),
              HasSubstr("only every fourth has special functions"));
  EXPECT_THAT(complaints("queue VXM0\nalu add float32 E0 #zz\n"),
              HasSubstr("'#zz' is not a 32-bit hexadecimal immediate"));
  EXPECT_THAT(complaints("queue MXM1.compute\nabc plane 1 float16 W0 acc 0\n"),
              HasSubstr("16-bit operations are issued on the even plane"));
  EXPECT_THAT(complaints("queue C2C3\nsend link 4 E0\n"), HasSubstr("link 4 used by another"));
  EXPECT_THAT(complaints("data 0 0 0 0g\n"), HasSubstr("p.lpuasm:1:12: error: '0g'"));
}

}  // namespace
}  // namespace tandem::lpu
