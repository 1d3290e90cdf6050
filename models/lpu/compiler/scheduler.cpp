#include "models/lpu/compiler/scheduler.hpp"

#include <algorithm>
#include <cstdlib>

#include "sim/core/diagnostics.hpp"
#include "sim/core/integers.hpp"

namespace tandem::lpu {
namespace {

constexpr std::int64_t never = -1000000;

}  // namespace

Place ColumnTile::place(const Geometry& geometry, int byte, int column) const {
  const int width = geometry.weight_streams_per_plane;
  const int issue = constant_row ? 0 : column / width;
  const int port = column % width;
  if (!spread) return {first_slice + port, bank + byte, row + issue, reg};
  const int rows = constant_row ? 1 : geometry.lw_issues();
  return {first_slice + port / 2, port % 2, row + byte * rows + issue, reg};
}

Scheduler::Scheduler(const Geometry& geometry, const LatencyTable& latencies,
                     std::int64_t first_cycle)
    : geometry_(geometry),
      latencies_(latencies),
      first_cycle_(first_cycle),
      begin_(first_cycle),
      horizon_(first_cycle),
      landed_(first_cycle) {
  const std::size_t ports = index_of(geometry.mem_slices() * geometry.banks);
  const std::size_t queues = index_of(geometry.queue_count());
  first_queue_ = ports;
  first_link_ = first_queue_ + queues;
  first_stream_ = first_link_ + index_of(geometry.link_count());
  first_issue_ = first_stream_ + index_of(4 * geometry.total_streams_per_direction());
  lines_.resize(first_issue_ + index_of(geometry.vxm_alus));
  windows_.resize(queues);
  queue_end_.assign(queues, first_cycle);
  moved_written_.assign(ports, never);
  moved_read_.assign(ports, never);
  rows_.resize(ports);
  planes_.resize(index_of(geometry.planes));
  for (Plane& plane : planes_) {
    plane.load_from = first_cycle;
    plane.accumulators.resize(index_of(geometry.accumulators));
  }
  registers_.resize(index_of(geometry.vxm_alus));
}

Timeline& Scheduler::stream(Direction direction, int id, Hemisphere half) {
  const int lane = direction == Direction::East ? 1 : 0;
  const int side = half == Hemisphere::East ? 1 : 0;
  return lines_[first_stream_ + index_of((id * 2 + lane) * 2 + side)];
}

Scheduler::RowState& Scheduler::row_state(const Place& place) {
  auto& bank = rows_[index_of(place.slice * geometry_.banks + place.bank)];
  if (bank.size() <= index_of(place.row)) bank.resize(index_of(place.row + 1));
  return bank[index_of(place.row)];
}

std::int64_t Scheduler::readable(const Place& place) const {
  if (!available_.empty() && place.reg != 0) {
    const std::int64_t from = available(place.reg);
    if (from != 0) return from;
  }
  if (place.reg >= rank_registers) return 0;
  const auto& bank = rows_[index_of(place.slice * geometry_.banks + place.bank)];
  if (bank.size() <= index_of(place.row)) return 0;
  return bank[index_of(place.row)].written + latencies_.mem_write_to_read;
}

std::int64_t Scheduler::writable(const Place& place) const {
  if (place.reg >= rank_registers) return 0;
  const std::size_t port = index_of(place.slice * geometry_.banks + place.bank);
  const std::int64_t moved = place.reg == 0 ? 0 : moved_read_[port] + 1;
  const auto& bank = rows_[port];
  if (bank.size() <= index_of(place.row)) return moved;
  const RowState& state = bank[index_of(place.row)];
  return std::max({state.written + 1, state.read + 1, moved});
}

void Scheduler::add(const MemEvent& event) {
  mem_.push_back(event);
  if (event.access.reg != 0 && available_.contains(event.access.reg)) {
    auto& last = last_access_[event.access.reg];
    last = std::max(last, event.cycle);
  }
  auto& end = queue_end_[index_of(geometry_.mem_queue(event.slice))];
  end = std::max(end, event.cycle + 1);
  const bool writes = event.access.kind == MemAccess::Kind::Write;
  landed_ = std::max(landed_,
                     event.cycle + (writes ? latencies_.mem_write_to_read : latencies_.mem_read));
  if (event.access.reg >= rank_registers) return;
  RowState& state = row_state({event.slice, event.access.bank, event.access.row, 0});
  auto& last = writes ? state.written : state.read;
  last = std::max(last, event.cycle);
  if (event.access.reg == 0 || !writes) return;
  auto& moved = moved_written_[index_of(event.slice * geometry_.banks + event.access.bank)];
  moved = std::max(moved, event.cycle);
}

void Scheduler::add(const QueueEvent& event, std::int64_t lands_after) {
  queue_.push_back(event);
  auto& end = queue_end_[index_of(event.queue)];
  end = std::max(end, event.cycle + queue_cycles(event.instruction));
  landed_ = std::max(landed_, event.cycle + lands_after);
}

void Scheduler::begin_operator(std::string name) {
  operators_.push_back({std::move(name), mem_.size(), queue_.size()});
}

}  // namespace tandem::lpu
