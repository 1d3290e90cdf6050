// Tiles on their way into the planes.
#include <algorithm>
#include <cstdlib>
#include <limits>

#include "models/lpu/compiler/scheduler.hpp"

namespace tandem::lpu {
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

// The queues of a load's slices and its plane must do their part within one interval of a loop.
bool Scheduler::widen_for(const PlaneLoad& load, std::int64_t at) {
  if (interval_ == 0) return true;
  const std::int64_t first = at + load.offset;
  const std::int64_t end = first + geometry_.lw_issues();
  const int mxm = std::abs(geometry_.mxm_position(load.tile->side));
  const std::vector<QueueWindow> before = windows_;
  bool fits = widen(geometry_.mxm_weights_queue(load.plane), first, end);
  for (int column = 0; column < geometry_.weight_streams_per_plane && fits; ++column) {
    const Place place = load.tile->place(geometry_, load.byte, column);
    const std::int64_t way =
        std::abs(geometry_.mem_position(place.slice)) - latencies_.mem_read - mxm;
    fits = widen(geometry_.mem_queue(place.slice), first + way, end + way);
  }
  if (!fits) windows_ = before;
  return fits;
}

// First cycle of an LW whose rows are all read in this piece of code.
std::int64_t Scheduler::first_load(const PlaneLoad& load) const {
  const int mxm = std::abs(geometry_.mxm_position(load.tile->side));
  std::int64_t first = planes_[static_cast<std::size_t>(load.plane)].load_from;
  for (int column = 0; column < geometry_.weight_streams_per_plane; ++column) {
    const Place place = load.tile->place(geometry_, load.byte, column);
    const std::int64_t way =
        std::abs(geometry_.mem_position(place.slice)) - latencies_.mem_read - mxm;
    first = std::max(first, begin_ - way);
  }
  return first - load.offset;
}

void Scheduler::commit_load(const PlaneLoad& load, std::int64_t at) {
  const Direction direction = outward(load.tile->side);
  const int mxm = std::abs(geometry_.mxm_position(load.tile->side));
  const int width = geometry_.weight_streams_per_plane;
  const int base = geometry_.has_wide_weight_path() ? geometry_.streams_per_direction : 0;
  const int first = base + (load.plane % (geometry_.planes / 2)) * width;
  Taken taken;
  const auto take = [&](Timeline& line, std::int64_t cycle) {
    line.take(cycle);
    taken.emplace_back(&line, cycle);
  };
  for (int issue = 0; issue < geometry_.lw_issues(); ++issue) {
    const std::int64_t cycle = at + load.offset + issue;
    for (int k = 0; k < width; ++k) {
      const Place place = load.tile->place(geometry_, load.byte, issue * width + k);
      const StreamRef ref{direction, static_cast<std::uint16_t>(first + k)};
      const std::int64_t read =
          cycle - mxm + std::abs(geometry_.mem_position(place.slice)) - latencies_.mem_read;
      take(port(place.slice, place.bank), read);
      if (base == 0) take(stream(direction, first + k, load.tile->side), cycle - mxm);
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
  keep(taken);
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
    if (!widen_for(load, at)) {
      throw LoopDoesNotFit("lpu.compiler: a load takes longer than a loop's interval");
    }
    commit_load(load, at);
    plane(load.plane).loaded = at + load.offset + geometry_.lw_issues() - 1 + latencies_.mxm_load;
  }
  return at;
}

void Scheduler::add_install(int index, std::int64_t at) {
  if (!widen(geometry_.mxm_weights_queue(index), at, at + 1)) {
    throw LoopDoesNotFit("lpu.compiler: an install comes later than a loop's interval");
  }
  Instruction word;
  word.op = Opcode::InstallWeights;
  word.plane = static_cast<std::uint8_t>(index);
  add(QueueEvent{at, geometry_.mxm_weights_queue(index), word}, latencies_.mxm_install);
  plane(index).load_from = at + 1;
  plane(index).installed = at + latencies_.mxm_install;
}

void Scheduler::install(const std::vector<TileOnPlane>& tiles) {
  const std::vector<PlaneLoad> loads = plane_loads(tiles);
  std::int64_t at = 0;
  for (const PlaneLoad& load : loads) {
    at = std::max({at, plane(load.plane).loaded, plane(load.plane).last_use + 1});
  }
  for (const PlaneLoad& load : loads) add_install(load.plane, at);
}

void Scheduler::load_tile(const ColumnTile& tile, int plane) {
  const std::vector<TileOnPlane> tiles{{tile, plane}};
  static_cast<void>(load(tiles));
  install(tiles);
}

// The earliest cycles in which the tile could be loaded bound its first Activate.
void Scheduler::expect_tile(const ColumnTile& tile, int plane_index) {
  const std::vector<TileOnPlane> tiles{{tile, plane_index}};
  const std::vector<PlaneLoad> loads = plane_loads(tiles);
  std::int64_t at = begin_;
  for (const PlaneLoad& load : loads) at = std::max(at, first_load(load));
  const std::int64_t give_up = at + interval_;
  const auto fits = [&](const PlaneLoad& load) { return load_fits(load, at); };
  while (!std::all_of(loads.begin(), loads.end(), fits)) {
    if (++at > give_up) throw LoopDoesNotFit("lpu.compiler: a load fits no cycle of a loop");
  }
  for (const PlaneLoad& load : loads) {
    Plane& on = plane(load.plane);
    const std::int64_t loaded = at + load.offset + geometry_.lw_issues() - 1 + latencies_.mxm_load;
    on.installed = std::max(loaded, on.last_use + 1) + latencies_.mxm_install;
    on.first_use = std::numeric_limits<std::int64_t>::max();
  }
}

void Scheduler::load_expected(const ColumnTile& tile, int plane_index) {
  const std::vector<TileOnPlane> tiles{{tile, plane_index}};
  const std::vector<PlaneLoad> loads = plane_loads(tiles);
  const std::int64_t install = plane(plane_index).first_use - latencies_.mxm_install;
  std::int64_t at = install;
  std::int64_t first = begin_ - 1;
  for (const PlaneLoad& load : loads) {
    at = std::min(at, install - load.offset - geometry_.lw_issues() + 1 - latencies_.mxm_load);
    first = std::max(first, first_load(load));
  }
  const auto fits = [&](const PlaneLoad& load) { return load_fits(load, at); };
  const auto widens = [&](const PlaneLoad& load) { return widen_for(load, at); };
  while (!std::all_of(loads.begin(), loads.end(), fits) ||
         !std::all_of(loads.begin(), loads.end(), widens)) {
    if (--at < first) throw LoopDoesNotFit("lpu.compiler: a tile comes too late for its product");
  }
  for (const PlaneLoad& load : loads) {
    commit_load(load, at);
    add_install(load.plane, install);
  }
}

}  // namespace tandem::lpu
