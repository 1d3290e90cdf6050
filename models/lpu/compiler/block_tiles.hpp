// Rows of the KV blocks that an iteration of the attention loops takes. Inside of the compiler.
#pragma once

#include <array>

#include "models/lpu/compiler/scheduler.hpp"

namespace tandem::lpu {

/// Accumulators below these serve products in turn.
inline constexpr int first_value_accumulator = 64;

/// The KV blocks that a layer's loops run over, for one token.
struct KvSpan {
  int iterations, slot_base, mask_start;  ///< host registers
  const std::array<Rows, 2>* mask;
};

/// exp(score - maximum) is multiplied by this before it becomes fp8: e4m3 reaches 448 and keeps
/// weights down to 2^-17 of the largest that way. The sum in the ones column carries it too.
inline constexpr float fp8_weight_scale = 256.0F;

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
