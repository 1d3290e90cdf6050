// A program as runs of equal instructions with their cycles: what a timeline draws. Repeat and the
// loops stay folded, so that a map is no longer than its program.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "models/lpu/program_walk.hpp"

namespace tandem::lpu {

/// An instruction with its Repeat: issue i of `count` is in cycle start + i * interval, its MEM
/// rows moved by i * stride. Inside a loop: the first iteration.
struct ScheduleRun {
  std::int64_t start = 0;
  std::int64_t count = 1;
  std::int64_t interval = 1;
  int stride = 0;
  std::uint32_t word = 0;  ///< index of the instruction in its queue
  std::uint16_t mark = no_operator;
  bool operator==(const ScheduleRun&) const = default;
};

/// Runs [first, last) are issued `further` more times, `interval` cycles apart.
struct ScheduleLoop {
  std::size_t first = 0;
  std::size_t last = 0;
  std::int64_t start = 0;
  std::int64_t further = 0;
  std::int64_t interval = 0;
  int stride = 0;  ///< MEM rows per iteration
  int reg = 0;     ///< host register that counts the iterations; 0 = a constant does
  bool operator==(const ScheduleLoop&) const = default;
};

/// One queue: runs in order of their words; loops in order of their first run, outer ones first.
struct QueueSchedule {
  std::vector<ScheduleRun> runs;
  std::vector<ScheduleLoop> loops;
};

/// A whole program, for one set of host registers. Cycles are those of the machine.
struct ScheduleMap {
  std::vector<QueueSchedule> queues;
  std::vector<std::int64_t> releases;  ///< cycles in which a Notify let parked queues go on
  std::int64_t cycles = 0;             ///< as the machine counts a run
};

/// Where every instruction of a program lies in time. Of a Select it takes the block that
/// `registers` choose; a Deskew inside a loop waits in every iteration as in the first. Faults of
/// the schedule are not looked for: that is the verifier's work.
[[nodiscard]] ScheduleMap map_schedule(const Program& program, const Geometry& geometry,
                                       const LatencyTable& latencies,
                                       const HostRegisters& registers);

}  // namespace tandem::lpu
