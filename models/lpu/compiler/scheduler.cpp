#include "models/lpu/compiler/scheduler.hpp"

#include <algorithm>
#include <cstdlib>

#include "sim/core/diagnostics.hpp"

namespace tandem::lpu {
namespace {

std::size_t index_of(int value) {
  return static_cast<std::size_t>(value);
}

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
    : geometry_(geometry), latencies_(latencies) {
  const int ports = geometry.mem_slices() * geometry.banks;
  ports_.resize(index_of(ports));
  queues_.resize(index_of(geometry.queue_count()));
  links_.resize(index_of(geometry.link_count()));
  streams_.resize(index_of(4 * geometry.total_streams_per_direction()));
  rows_.resize(index_of(ports));
  planes_.resize(index_of(geometry.planes));
  for (Plane& plane : planes_) {
    plane.load_from = first_cycle;
    plane.accumulators.resize(index_of(geometry.accumulators));
  }
  registers_.resize(index_of(geometry.vxm_alus));
  segments_.push_back({first_cycle, first_cycle, 0, {}});
  landed_ = first_cycle;
}

Timeline& Scheduler::stream(Direction direction, int id, Hemisphere half) {
  const int lane = direction == Direction::East ? 1 : 0;
  const int side = half == Hemisphere::East ? 1 : 0;
  return streams_[index_of((id * 2 + lane) * 2 + side)];
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
  const auto& bank = rows_[index_of(place.slice * geometry_.banks + place.bank)];
  if (bank.size() <= index_of(place.row)) return 0;
  return std::max(bank[index_of(place.row)].written, bank[index_of(place.row)].read) + 1;
}

void Scheduler::add(const MemEvent& event) {
  mem_.push_back(event);
  if (event.access.reg != 0 && available_.contains(event.access.reg)) {
    last_flagged_access_ = std::max(last_flagged_access_, event.cycle);
  }
  RowState untracked;
  RowState& state = event.access.reg >= rank_registers
                        ? untracked
                        : row_state({event.slice, event.access.bank, event.access.row, 0});
  if (event.access.kind == MemAccess::Kind::Write) {
    state.written = std::max(state.written, event.cycle);
    landed_ = std::max(landed_, event.cycle + latencies_.mem_write_to_read);
  } else {
    state.read = std::max(state.read, event.cycle);
    landed_ = std::max(landed_, event.cycle + latencies_.mem_read);
  }
}

void Scheduler::add(const QueueEvent& event, std::int64_t lands_after) {
  queue_.push_back(event);
  landed_ = std::max(landed_, event.cycle + lands_after);
}

void Scheduler::begin_operator(std::string name) {
  operators_.push_back({std::move(name), mem_.size(), queue_.size()});
}

void Scheduler::close_segment() {
  segments_.back().end = std::max(landed_, segments_.back().begin);
}

void Scheduler::begin_loop(int reg, std::map<int, int> strides) {
  close_segment();
  const std::int64_t begin = segments_.back().end;
  segments_.push_back({begin, begin, reg, std::move(strides)});
  for (Plane& plane : planes_) plane.load_from = std::max(plane.load_from, begin);
}

void Scheduler::end_loop() {
  begin_loop(0, {});
}

void Scheduler::finish() {
  close_segment();
}

bool Scheduler::load_fits(const PlaneLoad& load, std::int64_t at) {
  const Direction direction = outward(load.tile->side);
  const int mxm = std::abs(geometry_.mxm_position(load.tile->side));
  const int width = geometry_.weight_streams_per_plane;
  const int first = (load.plane % (geometry_.planes / 2)) * width;
  const std::int64_t begin = std::max(segment_begin(), available(load.tile->reg));
  for (int issue = 0; issue < geometry_.lw_issues(); ++issue) {
    const std::int64_t z = at + load.offset + issue - mxm;
    for (int k = 0; k < width; ++k) {
      const Place place = load.tile->place(geometry_, load.byte, issue * width + k);
      const std::int64_t read =
          z + std::abs(geometry_.mem_position(place.slice)) - latencies_.mem_read;
      if (read < begin || port(place.slice, place.bank).busy(read)) return false;
      if (geometry_.has_wide_weight_path()) continue;
      if (stream(direction, first + k, load.tile->side).busy(z)) return false;
    }
  }
  return true;
}

void Scheduler::commit_load(const PlaneLoad& load, std::int64_t at) {
  const Direction direction = outward(load.tile->side);
  const int mxm = std::abs(geometry_.mxm_position(load.tile->side));
  const int width = geometry_.weight_streams_per_plane;
  const int base = geometry_.has_wide_weight_path() ? geometry_.streams_per_direction : 0;
  const int first = base + (load.plane % (geometry_.planes / 2)) * width;
  for (int issue = 0; issue < geometry_.lw_issues(); ++issue) {
    const std::int64_t cycle = at + load.offset + issue;
    for (int k = 0; k < width; ++k) {
      const Place place = load.tile->place(geometry_, load.byte, issue * width + k);
      const StreamRef ref{direction, static_cast<std::uint16_t>(first + k)};
      const std::int64_t read =
          cycle - mxm + std::abs(geometry_.mem_position(place.slice)) - latencies_.mem_read;
      port(place.slice, place.bank).take(read);
      if (base == 0) stream(direction, first + k, load.tile->side).take(cycle - mxm);
      MemAccess access;
      access.kind = MemAccess::Kind::Read;
      access.bank = static_cast<std::uint8_t>(place.bank);
      access.reg = static_cast<std::uint16_t>(place.reg);
      access.row = static_cast<std::uint16_t>(place.row);
      access.stream = ref;
      add(MemEvent{read, place.slice, access});
    }
    Instruction load_weights;
    load_weights.op = Opcode::LoadWeights;
    load_weights.plane = static_cast<std::uint8_t>(load.plane);
    load_weights.column_group = static_cast<std::uint8_t>(issue);
    load_weights.in = {direction, static_cast<std::uint16_t>(first)};
    add(QueueEvent{cycle, geometry_.mxm_weights_queue(load.plane), load_weights},
        latencies_.mxm_load);
  }
}

std::vector<Scheduler::PlaneLoad> Scheduler::plane_loads(
    const std::vector<TileOnPlane>& tiles) const {
  std::vector<PlaneLoad> loads;
  for (const auto& [tile, plane] : tiles) {
    for (int byte = 0; byte < tile.bytes; ++byte) {
      loads.push_back({&tile, byte, plane + byte, tile.spread ? byte * geometry_.lw_issues() : 0});
    }
  }
  return loads;
}

std::int64_t Scheduler::load(const std::vector<TileOnPlane>& tiles, std::int64_t earliest) {
  const std::vector<PlaneLoad> loads = plane_loads(tiles);
  std::int64_t at = std::max(earliest, segment_begin());
  for (const PlaneLoad& load : loads) {
    at = std::max(at, plane(load.plane).load_from - load.offset);
    for (int column = 0; column < geometry_.plane_columns; ++column) {
      const Place place = load.tile->place(geometry_, load.byte, column);
      at = std::max(at, readable(place));
    }
  }
  const auto fits = [&](const PlaneLoad& load) { return load_fits(load, at); };
  while (!std::all_of(loads.begin(), loads.end(), fits)) ++at;
  for (const PlaneLoad& load : loads) {
    commit_load(load, at);
    plane(load.plane).loaded = at + load.offset + geometry_.lw_issues() - 1 + latencies_.mxm_load;
  }
  return at;
}

void Scheduler::install(const std::vector<TileOnPlane>& tiles) {
  const std::vector<PlaneLoad> loads = plane_loads(tiles);
  std::int64_t at = 0;
  for (const PlaneLoad& load : loads) {
    at = std::max({at, plane(load.plane).loaded, plane(load.plane).last_use + 1});
  }
  for (const PlaneLoad& load : loads) {
    Instruction word;
    word.op = Opcode::InstallWeights;
    word.plane = static_cast<std::uint8_t>(load.plane);
    add(QueueEvent{at, geometry_.mxm_weights_queue(load.plane), word}, latencies_.mxm_install);
    plane(load.plane).load_from = at + 1;
    plane(load.plane).installed = at + latencies_.mxm_install;
  }
}

void Scheduler::load_tile(const ColumnTile& tile, int plane) {
  const std::vector<TileOnPlane> tiles{{tile, plane}};
  static_cast<void>(load(tiles));
  install(tiles);
}

}  // namespace tandem::lpu
