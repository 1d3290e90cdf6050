// Random programs that are right by construction: independent flows of data through all units, each
// scheduled by the equation t_consumer = t_producer + latency + distance, with its own latencies.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <tuple>
#include <utility>
#include <vector>

#include "models/lpu/machine.hpp"
#include "sim/core/random.hpp"

namespace tandem::lpu::testing {

/// Words that a queue issues from `start` on, without the NOPs before them; the queue is free again
/// in `end`.
struct QueueItem {
  std::int64_t start = 0;
  std::int64_t end = 0;
  std::vector<Instruction> words;
};

/// What an item is there for: mutations look for items by role.
enum class Role : std::uint8_t {
  Reader,
  Consumer,
  Loop,
  Gather,
  Switch,
  Alu,
  Load,
  Install,
  Activate,
  Emit,
  Send,
  Receive,
  Transmit,
  ReadAgain,
  Pair
};

/// One vector on its way: from an item of `producer` to one of `consumer`.
struct Flight {
  int producer = 0;
  std::int64_t issued = 0;
  int consumer = 0;
  std::int64_t consumed = 0;
  StreamRef stream;
  bool weights = false;
};

struct Place {
  int slice = 0;
  int bank = 0;
  int row = 0;
};

struct RandomProgram {
  std::map<int, std::vector<QueueItem>> items;             ///< by queue, in order of start
  std::vector<std::tuple<Role, int, std::int64_t>> roles;  ///< role, queue, start
  std::vector<Flight> flights;
  std::vector<MemoryImageRow> rows;
  std::vector<std::pair<Place, Place>> copies;  ///< source and target rows that must become equal
  std::vector<Place> targets;                   ///< rows that the program writes
  std::vector<LinkVector> inbound;
  std::vector<std::vector<std::uint16_t>> maps;
  int register_limit = 0;       ///< of r1, which some rows add
  std::int64_t last_issue = 0;  ///< predicted; the run takes this plus the superlanes
};

/// Cycle in which all queues go on: Notify in 0 and the barrier.
inline constexpr std::int64_t release_cycle = 35;

/// 4 to 12 flows of data on a chip of the tests.
[[nodiscard]] RandomProgram random_program(RandomStream& random, const Geometry& geometry);

/// Sync, the items and the NOPs between them, for every queue that has items. Items must not
/// overlap. Throws std::logic_error where they do.
[[nodiscard]] ProgramImage emit(const RandomProgram& program, const Geometry& geometry);

}  // namespace tandem::lpu::testing
