// Rows of the KV blocks that an iteration of the attention loops takes. Inside of the compiler.
#pragma once

#include "models/lpu/compiler/scheduler.hpp"

namespace tandem::lpu {

/// Accumulators below these serve products in turn.
inline constexpr int first_value_accumulator = 64;

[[nodiscard]] inline Rows moved(Rows rows, int by) {
  for (Place& place : rows) place.row += by;
  return rows;
}

[[nodiscard]] inline ColumnTile tile_of_block(ColumnTile tile, int reg, int rows) {
  tile.reg = reg;
  tile.row += rows;
  return tile;
}

}  // namespace tandem::lpu
