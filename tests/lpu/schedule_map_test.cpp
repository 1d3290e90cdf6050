// Schedules as runs and loops: the same issues as the queues walk through, and the same cycles as
// the machine counts; streams that instructions use; words that know their operator.
#include "models/lpu/schedule_map.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <tuple>

#include "models/lpu/assembler.hpp"
#include "models/lpu/compiler/gemm.hpp"
#include "models/lpu/listing.hpp"
#include "models/lpu/machine.hpp"
#include "models/lpu/stream_use.hpp"
#include "sim/core/diagnostics.hpp"
#include "tests/lpu/random_instruction.hpp"
#include "tests/lpu/random_program.hpp"
#include "tests/support/property.hpp"

namespace tandem::lpu {
namespace {

using testing::lpu_v1;

// Cycle, word and row offset of an issue.
using Issued = std::tuple<std::int64_t, const Instruction*, std::int64_t>;

void unfold(const QueueSchedule& schedule, const QueueProgram& words, std::size_t run,
            std::size_t loop, std::int64_t shift, std::int64_t rows, std::vector<Issued>& out) {
  while (loop < schedule.loops.size() &&
         (schedule.loops[loop].first > run || schedule.loops[loop].last <= run)) {
    ++loop;
  }
  if (loop < schedule.loops.size()) {
    const ScheduleLoop& around = schedule.loops[loop];
    for (std::int64_t i = 0; i <= around.further; ++i) {
      unfold(schedule, words, run, loop + 1, shift + i * around.interval, rows + i * around.stride,
             out);
    }
    return;
  }
  const ScheduleRun& item = schedule.runs[run];
  for (std::int64_t i = 0; i < item.count; ++i) {
    out.emplace_back(item.start + shift + i * item.interval, &words[item.word],
                     rows + i * item.stride);
  }
}

std::vector<Issued> issues_of(const ScheduleMap& map, const Program& program, std::size_t queue) {
  std::vector<Issued> issues;
  for (std::size_t run = 0; run < map.queues[queue].runs.size(); ++run) {
    unfold(map.queues[queue], program.queues[queue], run, 0, 0, 0, issues);
  }
  std::sort(issues.begin(), issues.end());
  return issues;
}

std::vector<Issued> walked(const Program& program, std::size_t queue, const Geometry& geometry,
                           const HostRegisters& registers,
                           const std::vector<std::int64_t>& releases) {
  std::vector<Issued> issues;
  const int index = static_cast<int>(queue);
  QueueWalk walk(program.queues[queue], registers, index, "queue",
                 walk_settings(program, index, geometry, LatencyTable{}.icu_fetch));
  while (walk.state() != QueueWalk::State::Finished) {
    if (walk.state() == QueueWalk::State::Parked) {
      const auto release = std::lower_bound(releases.begin(), releases.end(), walk.parked_at());
      if (release == releases.end()) break;
      walk.resume(*release);
      continue;
    }
    issues.emplace_back(walk.issue().cycle, walk.issue().instruction, walk.issue().row_offset);
    walk.advance();
  }
  std::sort(issues.begin(), issues.end());
  return issues;
}

TEST(ScheduleMap, HasTheIssuesOfTheQueuesAndTheCyclesOfTheMachine) {
  constexpr std::uint64_t seed = 71;
  const Geometry geometry = lpu_v1();
  RandomStream random(seed, "maps");
  Machine machine(geometry, {}, false);
  const HostRegisters registers{};
  for (int round = 0; round < tandem::test::property_cases(60); ++round) {
    SCOPED_TRACE("seed " + std::to_string(seed) + " round " + std::to_string(round));
    const auto random_one = testing::random_program(random, geometry);
    const ProgramImage image = emit(random_one, geometry);
    const ScheduleMap map = map_schedule(image.program, geometry, {}, registers);
    machine.load(image);
    ASSERT_EQ(map.cycles, machine.run(random_one.inbound).cycles);
    for (std::size_t queue = 0; queue < image.program.queues.size(); ++queue) {
      ASSERT_EQ(issues_of(map, image.program, queue),
                walked(image.program, queue, geometry, registers, map.releases))
          << geometry.queue_name(static_cast<int>(queue));
    }
  }
}

// After the release in 35: a read in 39, 44 and 49, all of it again from 55 on (r3 = 1), rows +2; a
// write follows in 35 + 2 * 20 = 75.
TEST(ScheduleMap, KeepsLoopsFoldedAndCountsTheirRegisters) {
  const ProgramImage image = assemble(
      "limit r3 4\nqueue MEM_W0\nnotify\nsync\nnop 4\nmem read 0:7 E3\n"
      "repeat 2 interval 5 stride 1\nloopreg r3 width 3 interval 20 stride 2\nmem write 1:0 W1\n",
      lpu_v1());
  HostRegisters registers{};
  registers[3] = 1;
  const ScheduleMap map = map_schedule(image.program, lpu_v1(), {}, registers);
  EXPECT_EQ(map.releases, std::vector<std::int64_t>{35});
  const QueueSchedule& queue = map.queues[0];
  ASSERT_EQ(queue.runs.size(), 3U);  // notify, read, write
  EXPECT_EQ(queue.runs[1], (ScheduleRun{39, 3, 5, 1, 3, no_operator}));
  EXPECT_EQ(queue.runs[2].start, 75);
  ASSERT_EQ(queue.loops.size(), 1U);
  EXPECT_EQ(queue.loops[0], (ScheduleLoop{1, 2, 35, 1, 20, 2, 3}));
  EXPECT_EQ(map.cycles, 75 + 20);
}

// Block 1 of the select is one read in its second cycle; the queue goes on 10 cycles after it.
TEST(ScheduleMap, TakesTheBlockThatTheRegisterChooses) {
  const ProgramImage image = assemble(
      "limit r2 1\nqueue MEM_W0\nnotify\nsync\nselect r2 blocks 2 width 2 interval 10\n"
      "mem read 0:1 E0\nnop 1\nnop 1\nmem read 0:2 E0\nmem write 1:0 W1\n",
      lpu_v1());
  HostRegisters registers{};
  registers[2] = 1;
  const ScheduleMap map = map_schedule(image.program, lpu_v1(), {}, registers);
  ASSERT_EQ(map.queues[0].runs.size(), 3U);
  EXPECT_EQ(map.queues[0].runs[1].start, 36);
  EXPECT_EQ(map.queues[0].runs[1].word, 6U);
  EXPECT_EQ(map.queues[0].runs[2].start, 45);
}

// Every operand of a product must have been put on its diagonal by somebody upstream.
TEST(StreamUse, EveryOperandOfAProductHasAProducer) {
  const Geometry geometry = lpu_v1();
  const CompiledGemm gemm = compile_gemm(geometry, {}, "lpu_v1", {3, 700, 500, Type::Float16});
  const ScheduleMap map = map_schedule(gemm.program, geometry, {}, {});
  std::set<std::tuple<Direction, int, std::int64_t>> filled;
  std::vector<std::tuple<Direction, int, std::int64_t>> read;
  for (std::size_t queue = 0; queue < map.queues.size(); ++queue) {
    const int position = geometry.queue_position(static_cast<int>(queue));
    for (const auto& [cycle, word, rows] : issues_of(map, gemm.program, queue)) {
      const StreamUses uses = streams_used(*word, geometry, {});
      const auto diagonal = [&](const StreamUse& use) {
        return cycle + use.latency -
               (use.first.direction == Direction::East ? position : -position);
      };
      for (const StreamUse& use : uses.results) {
        for (int i = 0; i < use.count; ++i) {
          filled.emplace(use.first.direction, use.first.id + i, diagonal(use));
        }
      }
      for (const StreamUse& use : uses.operands) {
        for (int i = 0; i < use.count; ++i) {
          read.emplace_back(use.first.direction, use.first.id + i, diagonal(use));
        }
      }
    }
  }
  EXPECT_GT(read.size(), 500U);
  for (const auto& operand : read) EXPECT_TRUE(filled.contains(operand));
}

TEST(ProgramMarks, OfAProductCoverEveryWordThatIssues) {
  const Geometry geometry = lpu_v1();
  const CompiledGemm gemm = compile_gemm(geometry, {}, "lpu_v1", {2, 320, 320, Type::Int8});
  EXPECT_EQ(gemm.program.marks.operators, std::vector<std::string>{"product"});
  const ScheduleMap map = map_schedule(gemm.program, geometry, {}, {});
  for (std::size_t queue = 0; queue < map.queues.size(); ++queue) {
    for (const ScheduleRun& run : map.queues[queue].runs) {
      const bool issues = gemm.program.queues[queue][run.word].op != Opcode::Notify;
      EXPECT_EQ(run.mark, issues ? 0 : no_operator);
    }
  }
}

TEST(ProgramMarks, SurviveTheFileAndTheListing) {
  const Geometry geometry = lpu_v1();
  const ProgramImage image = assemble(
      "operator gate and up\noperator norm\nqueue VXM3\nsync\n of 1\nalu add float32 E0 E4 -> W8\n"
      " of none\nnop 3\n of 0\nalu exp float32 alu3 -> E4\n",
      geometry);
  ASSERT_EQ(image.program.marks.operators, (std::vector<std::string>{"gate and up", "norm"}));
  const auto queue = static_cast<std::size_t>(geometry.vxm_queue(3));
  ASSERT_EQ(image.program.marks.queues[queue],
            (std::vector<OperatorSpan>{{1, 1}, {2, no_operator}, {3, 0}}));
  EXPECT_EQ(assemble(list_program(image, geometry), geometry), image);
  EXPECT_EQ(decode_program(encode_program(image, geometry), geometry, "p.lpu"), image);
}

TEST(ProgramMarks, AnOperatorThatIsNotInTheProgramIsRefused) {
  const Geometry geometry = lpu_v1();
  EXPECT_THROW((void)assemble("operator norm\nqueue VXM3\n of 1\nsync\n", geometry), ConfigError);
  ProgramImage image = assemble("operator norm\nqueue VXM3\n of 0\nsync\n", geometry);
  image.program.marks.queues[static_cast<std::size_t>(geometry.vxm_queue(3))][0].mark = 1;
  EXPECT_THROW((void)decode_program(encode_program(image, geometry), geometry, "p.lpu"),
               ConfigError);
}

}  // namespace
}  // namespace tandem::lpu
