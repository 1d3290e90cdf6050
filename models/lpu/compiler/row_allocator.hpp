// Hands out SRAM rows to a stage's layout. Inside of the compiler; see layout.hpp.
#pragma once

#include <algorithm>
#include <array>
#include <map>
#include <utility>

#include "models/lpu/compiler/layout.hpp"
#include "sim/core/diagnostics.hpp"

namespace tandem::lpu {

/// What a buffer is for, where it shares slices with weight tiles.
///
/// While tiles stream, the ports of a hemisphere rest in one cycle of every LW issues + 1, counted
/// when the vector passes the VXM. A write from there fits that cycle in any slice; a read inward
/// arrives two cycles later for every hop. So the hop count, modulo the period, decides which
/// accesses can follow each other.
///
/// In a loop a slice's queue must do its part of an iteration within one interval. Inputs and state
/// are wanted at different times, and either by the two planes of a hemisphere half an interval
/// apart: they keep to four zones of slices, state next to the VXM, where the way from write to
/// read is shortest.
enum class BufferUse : std::uint8_t {
  Any,
  Activation,  ///< for the planes of the other hemisphere: not in the cycle in which those install
  Updated,     ///< read as an operand, written back one operation of two cycles later
  LoopState,   ///< updated by every iteration of the loops over KV blocks
  LateState,   ///< likewise, half an interval later
  LoopInput,   ///< read by every iteration, on the way to the planes
  LateInput,   ///< likewise, half an interval later
};

/// Slices of a hemisphere, from the VXM outwards: buffers, two for scores and two for the mask
/// table (which move with the attention loop at their own strides), then column tiles. Where
/// weights need all slices, buffers and tables lie in rows behind them, and only KV tiles keep to
/// themselves.
class RowAllocator {
 public:
  RowAllocator(const Geometry& geometry, StageLayout& layout)
      : geometry_(geometry), layout_(layout) {
    const int slices = geometry.mem_slices_per_hemisphere;
    const int width = geometry.weight_streams_per_plane;
    pairs_ = std::max(1, geometry.planes / 4);
    const bool is_wide = geometry.has_wide_weight_path();
    groups_ =
        is_wide ? slices / width : std::max(1, (slices - moving_slices - buffer_slices) / width);
    if (slices < least_slices(geometry)) {
      throw ModelError("lpu.compiler: too few slices beside those of the weights");
    }
    layout.rows_used.resize(static_cast<std::size_t>(geometry.mem_slices() * geometry.banks));
    first_weight_ = slices - groups_ * width;
    first_moving_ = geometry.has_wide_weight_path() ? slices - width / 2 : first_weight_;
    shares_slices_ = first_weight_ < moving_slices + buffer_slices;
    tables_ = (shares_slices_ ? first_moving_ : first_weight_) - moving_slices;
  }

  /// Of a hemisphere: one group of weight slices, and beside it, or behind half of it where the
  /// weight path is wide, those that move and two for tables.
  [[nodiscard]] static int least_slices(const Geometry& geometry) {
    const int width = geometry.weight_streams_per_plane;
    constexpr int others = moving_slices + 2;
    return geometry.has_wide_weight_path() ? std::max(width, width / 2 + others) : width + others;
  }

  ColumnTile weights(int plane, Type type) {
    ColumnTile tile;
    tile.side = geometry_.plane_hemisphere(plane);
    tile.bytes = streams_of(type);
    tile.bank = tile.bytes == 2 ? 0 : plane % 2;
    const int width = geometry_.weight_streams_per_plane;
    int best = 0;
    int best_row = 1 << 30;
    // Pairs of planes that load side by side read from different slices where there are enough.
    const int pair = plane % std::max(1, geometry_.planes / 2) / 2;
    const int step = groups_ >= pairs_ ? pairs_ : 1;
    for (int group = step > 1 ? pair : 0; group < groups_; group += step) {
      int row = 0;
      for (int b = 0; b < tile.bytes; ++b) {
        for (int k = 0; k < width; ++k) {
          row = std::max(
              row, used(slice_of(tile.side, first_weight_ + group * width + k), tile.bank + b));
        }
      }
      if (row < best_row) {
        best = group;
        best_row = row;
      }
    }
    tile.first_slice = slice_of(tile.side, first_weight_ + best * width);
    tile.row = best_row;
    for (int b = 0; b < tile.bytes; ++b) {
      for (int k = 0; k < width; ++k) {
        used(tile.first_slice + k, tile.bank + b) = best_row + geometry_.lw_issues();
      }
    }
    layout_.weight_rows += std::int64_t{tile.bytes} * width * geometry_.lw_issues();
    return tile;
  }

  // Makes room for `copies` of all that was taken since `before`, one behind the other with the
  // same distance in every bank; returns the distance.
  int repeat_since(const std::vector<int>& before, int copies) {
    int rows = 0;
    for (std::size_t i = 0; i < before.size(); ++i) {
      rows = std::max(rows, layout_.rows_used[i] - before[i]);
      layout_.weight_rows += std::int64_t{copies - 1} * (layout_.rows_used[i] - before[i]);
    }
    for (std::size_t i = 0; i < before.size(); ++i) {
      if (layout_.rows_used[i] > before[i]) layout_.rows_used[i] = before[i] + copies * rows;
    }
    return rows;
  }

  // Column tiles that move with the loops over KV blocks lie in groups of slices.
  [[nodiscard]] int moving_groups(Type type) const {
    return (geometry_.mem_slices_per_hemisphere - first_moving_) / slices_of_moving(type);
  }
  ColumnTile moving_tiles(Hemisphere side, Type type, int group, int& rows_per_tile) const {
    ColumnTile tile;
    tile.side = side;
    tile.bytes = streams_of(type);
    tile.spread = is_spread(type);
    tile.first_slice = slice_of(side, first_moving_ + group * slices_of_moving(type));
    rows_per_tile = geometry_.lw_issues() * (tile.spread ? tile.bytes : 1);
    return tile;
  }
  // Reserves `rows` rows in all ports of moving tiles; returns the first.
  int reserve_moving(const ColumnTile& tile, int rows) {
    const int slices = slices_of_moving(tile.bytes == 2 ? Type::Float16 : Type::Fp8E4m3);
    int row = 0;
    for (int k = 0; k < slices; ++k) {
      for (int b = 0; b < 2; ++b) row = std::max(row, used(tile.first_slice + k, b));
    }
    for (int k = 0; k < slices; ++k) {
      for (int b = 0; b < 2; ++b) used(tile.first_slice + k, b) = row + rows;
    }
    return row;
  }

  // Activations of different tokens (`turn`) lie at different hops where that matters, so that all
  // can be read in one resting cycle and reach their plane one behind the other. `rows`: as many of
  // these values, in rows that follow each other.
  Rows buffer(Hemisphere side, int bytes, BufferUse use = BufferUse::Any, int turn = 0,
              int rows = 1) {
    const int variant = use == BufferUse::Activation ? turn % geometry_.lw_issues() : 0;
    int& next = next_buffer_[side == Hemisphere::East ? 1 : 0][{use, variant}];
    const int need = bytes == 4 ? 2 : 1;
    const auto [begin, end] = zone_of(use);
    next = std::max(next, begin);
    for (int tries = 0; tries <= tables_; ++tries) {
      if (need == 2 && next % 2 != 0) ++next;
      if (next + need > end) next = begin;
      if (suits(next, use, variant)) break;
      next += need;
    }
    const int first = slice_of(side, next);
    next += need;
    return take(first, bytes, rows);
  }
  // Four bytes near the planes: in the slices of moving tiles, from the outermost, where those keep
  // to themselves; else with the other buffers.
  Rows outer_buffer(Hemisphere side) {
    if (!shares_slices_) return buffer(side, 4);
    int& next = next_outer_[side == Hemisphere::East ? 1 : 0];
    const int pairs = (geometry_.mem_slices_per_hemisphere - first_moving_) / 2;
    int first = 0;
    for (int tries = 0; tries < pairs; ++tries) {
      first = geometry_.mem_slices_per_hemisphere - 2 * (next + 1);
      next = (next + 1) % pairs;
      // In slices that suit updates, sums would arrive in the cycles of the planes' activations.
      if (!suits(first, BufferUse::Updated)) break;
    }
    return take(slice_of(side, first), 4, 1);
  }
  /// Pairs of slices, from the VXM outwards, that hold buffers and tables.
  [[nodiscard]] int table_pairs() const { return tables_ / 2; }
  /// Rows behind each other in a pair of slices; four bytes wide. Returns the first.
  Rows table(Hemisphere side, int pair, int rows) {
    return take(slice_of(side, 2 * pair), 4, rows);
  }
  Rows mask_table(Hemisphere side, int rows) { return take(slice_of(side, tables_ + 2), 4, rows); }
  Rows score_table(Hemisphere side, int rows) { return take(slice_of(side, tables_), 4, rows); }

 private:
  static constexpr int moving_slices = 4;
  static constexpr int buffer_slices = 8;

  // Moving tiles in both banks of half as many slices as they have ports.
  [[nodiscard]] bool is_spread(Type type) const {
    return streams_of(type) == 1 || geometry_.has_wide_weight_path();
  }
  [[nodiscard]] int slices_of_moving(Type type) const {
    return is_spread(type) ? geometry_.weight_streams_per_plane / 2
                           : geometry_.weight_streams_per_plane;
  }

  [[nodiscard]] int slice_of(Hemisphere side, int index) const {
    return index + (side == Hemisphere::East ? geometry_.mem_slices_per_hemisphere : 0);
  }
  // First slice for a use, and behind its last.
  [[nodiscard]] std::pair<int, int> zone_of(BufferUse use) const {
    if (use < BufferUse::LoopState) return {0, tables_};
    // State is accessed twice per result, inputs once and a byte wide: shares of 2 : 2 : 1 : 1.
    constexpr std::array bounds{0, 2, 4, 5, 6};
    const auto zone =
        static_cast<std::size_t>(use) - static_cast<std::size_t>(BufferUse::LoopState);
    const int pairs = tables_ / 2;
    return {bounds[zone] * pairs / bounds.back() * 2, bounds[zone + 1] * pairs / bounds.back() * 2};
  }
  // Whether a slice has the hops that a use wants; see BufferUse.
  [[nodiscard]] bool suits(int index, BufferUse use, int variant = 0) const {
    if (!shares_slices_) return true;
    if (use != BufferUse::Activation && use != BufferUse::Updated) return true;
    const int period = geometry_.lw_issues() + 1;
    const int hops = geometry_.mem_position(slice_of(Hemisphere::East, index)) % period;
    return hops == (use == BufferUse::Activation ? (1 + variant) % period : period - 1);
  }
  int& used(int slice, int bank) {
    return layout_.rows_used[static_cast<std::size_t>(slice * geometry_.banks + bank)];
  }
  Rows take(int first, int bytes, int rows) {
    Rows places;
    if (bytes == 1) {
      const int bank = used(first, 0) <= used(first, 1) ? 0 : 1;
      places.push_back({first, bank, used(first, bank), 0});
      used(first, bank) += rows;
      return places;
    }
    const int slices = bytes / 2;
    int row = 0;
    for (int s = first; s < first + slices; ++s) row = std::max({row, used(s, 0), used(s, 1)});
    for (int s = first; s < first + slices; ++s) {
      for (int b = 0; b < 2; ++b) {
        places.push_back({s, b, row, 0});
        used(s, b) = row + rows;
      }
    }
    return places;
  }

  const Geometry& geometry_;
  StageLayout& layout_;
  int groups_ = 1;        ///< of slices, each wide enough for the streams of a plane
  int pairs_ = 1;         ///< of planes in a hemisphere
  int first_weight_ = 0;  ///< slice of a hemisphere, like those that follow
  int first_moving_ = 0;  ///< of KV tiles
  int tables_ = 0;        ///< buffers come before it
  bool shares_slices_ = false;
  std::array<std::map<std::pair<BufferUse, int>, int>, 2> next_buffer_;
  std::array<int, 2> next_outer_{};
};

}  // namespace tandem::lpu
