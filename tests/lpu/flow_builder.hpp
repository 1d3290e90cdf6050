// What flows of data are made of: items of queues, cells, rows. Inside of random_program().
#pragma once

#include <algorithm>
#include <array>
#include <cstdlib>
#include <memory>

#include "tests/lpu/random_instruction.hpp"
#include "tests/lpu/random_program.hpp"

namespace tandem::lpu::testing {

// Latencies as the tests know them, not the machine's table.
inline constexpr int read_latency = 2, gather_latency = 3, alu_latency = 2, special_latency = 5,
                     result_latency = 26, cross_latency = 22, distribute_latency = 2,
                     transpose_latency = 4, link_interval = 27;

struct Conflict {};

/// Reserves what a flow takes. Anything that is taken already ends the flow with Conflict; the
/// caller then goes back to the state before it.
class FlowBuilder {
 public:
  FlowBuilder(RandomStream& random, const Geometry& geometry) : random_(random), g_(geometry) {
    program_.maps = legal_maps(geometry);
    program_.register_limit = below(4);
  }

 protected:
  using Cell = std::tuple<Direction, int, std::int64_t>;  // a diagonal: stream and key
  struct State {
    RandomProgram program;
    std::set<Cell> cells;
    std::map<std::pair<int, int>, int> next_row;
  };
  std::unique_ptr<State> this_state() const {
    return std::make_unique<State>(State{program_, cells_, next_row_});
  }
  void restore(const State& state) {
    program_ = state.program;
    cells_ = state.cells;
    next_row_ = state.next_row;
  }

  int below(int n) { return static_cast<int>(random_.integer(0, n - 1)); }
  int at(int queue) const { return g_.queue_position(queue); }
  std::int64_t start() { return release_cycle + 60 + below(160); }
  int any_slice() { return below(g_.mem_slices()); }

  void add(Role role, int queue, std::int64_t start, std::int64_t length,
           std::vector<Instruction> words, std::int64_t last = -1) {
    if (start < release_cycle) throw Conflict{};
    auto& items = program_.items[queue];
    for (const QueueItem& item : items) {
      if (start < item.end && item.start < start + length) throw Conflict{};
    }
    items.push_back({start, start + length, std::move(words)});
    program_.roles.emplace_back(role, queue, start);
    program_.last_issue = std::max(program_.last_issue, start + (last < 0 ? length - 1 : last));
  }

  // A vector from the cell that `producer` fills in cycle `filled` to where `consumer` sits;
  // returns the cycle in which it is there.
  std::int64_t fly(int producer, std::int64_t issued, std::int64_t filled, int consumer, int id,
                   bool weights = false) {
    const int from = at(producer), to = at(consumer);
    const StreamRef stream = toward(producer, consumer, id);
    const int travelled = stream.direction == Direction::East ? from : -from;
    if (!cells_.emplace(stream.direction, id, filled - travelled).second) throw Conflict{};
    const std::int64_t there = filled + std::abs(to - from);
    program_.flights.push_back({producer, issued, consumer, there, stream, weights});
    return there;
  }
  [[nodiscard]] StreamRef toward(int producer, int consumer, int id) const {
    return {at(consumer) >= at(producer) ? Direction::East : Direction::West,
            static_cast<std::uint16_t>(id)};
  }

  int new_row(int slice, int bank, int count = 1) {
    int& next = next_row_[{slice, bank}];
    const int row = next;
    next += count;
    return row;
  }
  void fill(const Place& place) {
    MemoryImageRow row;
    row.slice = static_cast<std::uint16_t>(place.slice);
    row.bank = static_cast<std::uint8_t>(place.bank);
    row.row = static_cast<std::uint16_t>(place.row);
    row.bytes.resize(static_cast<std::size_t>(g_.vector_bytes()));
    for (auto& byte : row.bytes) byte = static_cast<std::uint8_t>(random_.next());
    program_.rows.push_back(std::move(row));
  }
  // No infinities or NaN in any one-byte format: they would hide what else is in a sum.
  void make_finite() {
    for (auto& byte : program_.rows.back().bytes) byte &= 0xbfU;
  }

  static MemAccess access(MemAccess::Kind kind, const Place& place, StreamRef stream) {
    MemAccess result;
    result.kind = kind;
    result.bank = static_cast<std::uint8_t>(place.bank);
    result.row = static_cast<std::uint16_t>(place.row);
    result.stream = stream;
    return result;
  }
  static Instruction mem(const MemAccess& first, const MemAccess& second = {}) {
    Instruction word;
    word.op = Opcode::Mem;
    word.access = {first, second};
    return word;
  }

  static Instruction repeat(int count, int interval, int stride) {
    Instruction word;
    word.op = Opcode::Repeat;
    word.count = static_cast<std::uint16_t>(count);
    word.interval = static_cast<std::uint16_t>(interval);
    word.stride = static_cast<std::int16_t>(stride);
    return word;
  }

  // One read of a new random row, timed so that the vector is at `consumer` in `there`.
  Place read_for(int slice, int consumer, int id, std::int64_t there, bool weights = false) {
    const int distance = std::abs(at(consumer) - at(slice));
    const Place place{slice, below(2), 0};
    return read_place(place, consumer, id, there - distance - read_latency, weights);
  }
  Place read_place(Place place, int consumer, int id, std::int64_t issue, bool weights) {
    place.row = new_row(place.slice, place.bank);
    fill(place);
    const StreamRef stream = toward(place.slice, consumer, id);
    add(Role::Reader, place.slice, issue, 1, {mem(access(MemAccess::Kind::Read, place, stream))});
    fly(place.slice, issue, issue + read_latency, consumer, id, weights);
    return place;
  }
  // One write of what `producer` puts on `stream` in `filled`.
  Place write_from(int producer, std::int64_t issued, std::int64_t filled, StreamRef stream,
                   int slice) {
    if ((at(slice) >= at(producer)) != (stream.direction == Direction::East)) throw Conflict{};
    Place place{slice, below(2), 0};
    place.row = new_row(slice, place.bank);
    const std::int64_t there = fly(producer, issued, filled, slice, stream.id);
    add(Role::Consumer, slice, there, 1, {mem(access(MemAccess::Kind::Write, place, stream))});
    program_.targets.push_back(place);
    return place;
  }

  RandomStream& random_;
  const Geometry& g_;
  RandomProgram program_;
  std::set<Cell> cells_;
  std::map<std::pair<int, int>, int> next_row_;
};

}  // namespace tandem::lpu::testing
