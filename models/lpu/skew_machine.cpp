#include "models/lpu/skew_machine.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "models/lpu/skew_core.hpp"

namespace tandem::lpu {

SkewMachine::Core::Core(const Geometry& geometry, const LatencyTable& latency)
    : geometry_(geometry), latency_(latency) {}

void SkewMachine::Core::fail(const char* rule, const std::string& message) const {
  throw ScheduleError(rule, queue_, cycle_,
                      fmt::format("lpu {} at cycle {}: {}: {}", geometry_.queue_name(queue_),
                                  cycle_, rule, message));
}

void SkewMachine::Core::load(const ProgramImage& image) {
  for (const QueueProgram& words : image.program.queues) {
    for (const Instruction& word : words) {
      if (word.op != Opcode::Config && word.op != Opcode::Flag) continue;
      throw ModelError(fmt::format("lpu.skew: '{}' has no skewed form here", name_of(word.op)));
    }
  }
  program_ = image.program;
  registers_ = {};
  for (const MemoryImageRow& row : image.rows) {
    rows_[{row.slice, row.bank, row.row}] = row.bytes;
  }
}

void SkewMachine::Core::set_register(int index, std::uint16_t value) {
  registers_.at(static_cast<std::size_t>(index)) = value;
}

std::vector<std::uint8_t> SkewMachine::Core::read_row(int slice, int bank, int row) const {
  const auto found = rows_.find({slice, bank, row});
  if (found != rows_.end()) return found->second;
  return std::vector<std::uint8_t>(static_cast<std::size_t>(geometry_.vector_bytes()));
}

std::uint8_t* SkewMachine::Core::sram(int slice, int bank, std::int64_t row, int superlane) {
  if (row < 0 || row >= geometry_.rows_per_bank) fail("H8", fmt::format("no row {}", row));
  auto& bytes = rows_[{slice, bank, row}];
  bytes.resize(static_cast<std::size_t>(geometry_.vector_bytes()));
  return bytes.data() + superlane * geometry_.lanes_per_superlane;
}

// All issues of the run, by cycle; Emit and Recv fill their cells in the cycle of issue and go
// first.
void SkewMachine::Core::expand(std::vector<Event>& events) {
  std::vector<QueueWalk> walks;
  for (int queue = 0; queue < geometry_.queue_count(); ++queue) {
    walks.emplace_back(program_.queues[static_cast<std::size_t>(queue)], registers_, queue,
                       geometry_.queue_name(queue),
                       walk_settings(program_, queue, geometry_, latency_.icu_fetch));
  }
  std::multiset<std::int64_t> releases;
  for (;;) {
    for (std::size_t queue = 0; queue < walks.size(); ++queue) {
      for (; walks[queue].state() == QueueWalk::State::Ready; walks[queue].advance()) {
        const Issue& issue = walks[queue].issue();
        events.push_back({issue, static_cast<int>(queue)});
        if (issue.instruction->op == Opcode::Notify)
          releases.insert(issue.cycle + latency_.barrier);
      }
    }
    if (releases.empty()) break;
    const std::int64_t cycle = *releases.begin();
    releases.erase(releases.begin());
    for (QueueWalk& walk : walks) {
      if (walk.state() == QueueWalk::State::Parked && walk.parked_at() <= cycle) walk.resume(cycle);
    }
  }
  const auto early = [](const Event& event) {
    const Opcode op = event.issue.instruction->op;
    return op == Opcode::Emit || op == Opcode::Recv;
  };
  std::stable_sort(events.begin(), events.end(), [&](const Event& a, const Event& b) {
    if (a.issue.cycle != b.issue.cycle) return a.issue.cycle < b.issue.cycle;
    return early(a) > early(b);
  });
}

void SkewMachine::Core::start_run(std::span<const LinkVector> inbound) {
  events_.clear();
  exchanges_.clear();
  products_.clear();
  outbound_.clear();
  inbound_.clear();
  for (const LinkVector& vector : inbound) inbound_[{vector.link, vector.cycle}] = vector.bytes;
  expand(events_);
  Geometry one = geometry_;
  one.superlanes = 1;
  const auto positions = static_cast<std::size_t>(2 * geometry_.mxm_position(Hemisphere::East) + 1);
  const auto streams = static_cast<std::size_t>(2 * geometry_.total_streams_per_direction());
  const auto columns = static_cast<std::size_t>(geometry_.plane_columns);
  tiles_.clear();
  for (int superlane = 0; superlane < geometry_.superlanes; ++superlane) {
    Tile tile;
    tile.cells.resize(streams * positions);
    tile.alus = std::make_unique<AluRegisters>(one, true);
    for (int plane = 0; plane < geometry_.planes; ++plane) {
      const std::vector<std::uint8_t> weights(columns * lanes()), none(columns);
      tile.planes.push_back({weights, weights, none, none});
    }
    tiles_.push_back(std::move(tile));
  }
  accumulators_.assign(
      static_cast<std::size_t>(geometry_.planes),
      std::vector<std::vector<std::uint32_t>>(static_cast<std::size_t>(geometry_.accumulators)));
}

RunResult SkewMachine::Core::run(std::span<const LinkVector> inbound) {
  start_run(inbound);
  RunResult result;
  if (events_.empty()) return result;
  std::int64_t last = 0, notify = -1;
  for (const Event& event : events_) {
    last = std::max(last, event.issue.cycle + queue_cycles(*event.issue.instruction) - 1);
    if (notify < 0 && event.issue.instruction->op == Opcode::Notify) notify = event.issue.cycle;
  }
  // Superlane k begins k cycles late and ends k cycles late.
  for (std::int64_t now = 0; now <= last + geometry_.superlanes - 1; ++now) {
    for (int superlane = 0; superlane < geometry_.superlanes; ++superlane) {
      if (now >= superlane && now - superlane <= last) tick(superlane);
    }
    result.cycles = now + 1 - std::max<std::int64_t>(notify, 0);
  }
  for (auto& [event, vector] : outbound_) result.outbound.push_back(std::move(vector));
  return result;
}

std::size_t SkewMachine::Core::cell_index(StreamRef stream, int position,
                                          std::int64_t frame) const {
  const int edge = geometry_.mxm_position(Hemisphere::East);
  const std::int64_t positions = 2 * edge + 1;
  const bool east = stream.direction == Direction::East;
  const std::int64_t moved = (east ? position : -position) + edge - frame;
  const std::int64_t slot = (moved % positions + positions) % positions;
  const int lane = stream.id + (east ? 0 : geometry_.total_streams_per_direction());
  return static_cast<std::size_t>(lane * positions + slot);
}

// One cycle of one superlane: registers shift, results arrive, instructions act.
void SkewMachine::Core::tick(int superlane) {
  Tile& tile = tiles_[static_cast<std::size_t>(superlane)];
  const int edge = geometry_.mxm_position(Hemisphere::East);
  for (int id = 0; id < geometry_.total_streams_per_direction(); ++id) {
    const auto stream = static_cast<std::uint16_t>(id);
    tile.cells[cell_index({Direction::East, stream}, -edge, tile.frame)].valid = false;
    tile.cells[cell_index({Direction::West, stream}, edge, tile.frame)].valid = false;
  }
  tile.filled.clear();
  if (const auto due = tile.arrivals.find(tile.frame); due != tile.arrivals.end()) {
    for (const Arrival& arrival : due->second) deliver(superlane, arrival);
    tile.arrivals.erase(due);
  }
  for (; tile.next_event < events_.size() && events_[tile.next_event].issue.cycle == tile.frame;
       ++tile.next_event) {
    execute(superlane, tile.next_event);
  }
  ++tile.frame;
}

void SkewMachine::Core::deliver(int superlane, const Arrival& arrival) {
  Tile& tile = tiles_[static_cast<std::size_t>(superlane)];
  queue_ = arrival.queue;
  cycle_ = tile.frame;
  const std::size_t index = cell_index(arrival.stream, arrival.position, tile.frame);
  if (!tile.filled.insert(index).second) {
    fail("H3", fmt::format("stream {} gets two vectors", name_of(arrival.stream)));
  }
  tile.cells[index] = {true, arrival.exchange == 0 ? arrival.bytes
                                                   : exchanged(exchanges_.at(arrival.exchange - 1),
                                                               superlane, arrival.part)};
}

const SkewMachine::Core::Bytes16& SkewMachine::Core::consume(int superlane, StreamRef stream) {
  const Tile& tile = tiles_[static_cast<std::size_t>(superlane)];
  const Cell& cell = tile.cells[cell_index(stream, position(), tile.frame)];
  if (!cell.valid) fail("H4", fmt::format("stream {} holds no vector", name_of(stream)));
  return cell.bytes;
}

std::vector<const SkewMachine::Core::Bytes16*> SkewMachine::Core::consume_group(int superlane,
                                                                                StreamRef first,
                                                                                int streams) {
  std::vector<const Bytes16*> group;
  for (int i = 0; i < streams; ++i) {
    group.push_back(
        &consume(superlane, {first.direction, static_cast<std::uint16_t>(first.id + i)}));
  }
  return group;
}

void SkewMachine::Core::produce(int superlane, StreamRef stream, int latency, Bytes16 bytes,
                                std::size_t exchange, std::size_t part) {
  Tile& tile = tiles_[static_cast<std::size_t>(superlane)];
  const Arrival arrival{stream, position(), std::move(bytes), queue_, exchange, part};
  if (latency == 0) return deliver(superlane, arrival);
  tile.arrivals[tile.frame + latency].push_back(arrival);
}

SkewMachine::SkewMachine(const Geometry& geometry, const LatencyTable& latency)
    : core_(std::make_unique<Core>(geometry, latency)) {}
SkewMachine::~SkewMachine() = default;
void SkewMachine::load(const ProgramImage& image) {
  core_->load(image);
}
void SkewMachine::set_register(int index, std::uint16_t value) {
  core_->set_register(index, value);
}
std::vector<std::uint8_t> SkewMachine::read_row(int slice, int bank, int row) const {
  return core_->read_row(slice, bank, row);
}
RunResult SkewMachine::run(std::span<const LinkVector> inbound) {
  return core_->run(inbound);
}

}  // namespace tandem::lpu
