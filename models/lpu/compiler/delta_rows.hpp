// Where a Gated DeltaNet layer keeps its constants, its state and the buffers of a pass.
#pragma once

#include <array>
#include <vector>

#include "models/lpu/compiler/delta_plan.hpp"
#include "models/lpu/compiler/scheduler.hpp"

namespace tandem::lpu {

/// Rows of a pack's state are dealt out to this many groups of ports: even rows West, odd rows
/// East, in turn over two pairs of slices. The next pack has the two pairs beside them, so that two
/// rows of two packs can be read in every cycle.
inline constexpr int delta_state_groups = 4;

/// Longest convolution: one host register for each tap.
inline constexpr int delta_taps_limit = 5;

/// One vector of channels of the convolution.
struct DeltaChannels {
  std::vector<Rows> weights;  ///< fp32 by tap, oldest first
  Rows ring;  ///< fp32, first of DeltaPlan::ring() rows per request: the last inputs
};

/// What each layer has of its own. Rows of states and rings are repeated for every request.
struct DeltaLayerRows {
  std::vector<DeltaChannels> queries, keys;  ///< by key vector
  std::vector<DeltaChannels> values;         ///< by pack
  std::vector<Rows> dt_bias;                 ///< fp32 by gate vector, zero in the lanes of b
  std::vector<Rows> rate;                    ///< fp32 by gate vector: -exp(A_log)
  Rows norm;  ///< fp32: the head's weights in the lanes of every head
  std::vector<std::array<Rows, delta_state_groups>>
      state;  ///< fp32 by pack: row i in group i mod 4
};

/// A tile of ones that sums segments of a vector, and the pair of planes that takes it.
struct SumTile {
  ColumnTile tile;
  int plane = 0;
};

/// Buffers of a pass, shared by all layers of equal shape. fp32 throughout.
struct DeltaBuffers {
  std::vector<SumTile> key_sums;  ///< by pattern
  SumTile value_sums;
  std::vector<Rows> queries, keys;                    ///< by key vector, after the convolution
  std::vector<Rows> values;                           ///< by pack, after the convolution
  std::vector<Rows> decay_by_head, strength_by_head;  ///< by gate vector: alpha, beta
  std::vector<Rows> decay, strength;                  ///< by pack, in the lanes of its heads
  std::vector<Rows> key_scale, query_scale, overlap;  ///< by view
  std::vector<Rows> seen, answered;                   ///< by pack: S^T k, S^T q
  std::vector<Rows> change;                           ///< by pack: the vector that k is added with
  std::vector<Rows> mixed, gate;                      ///< by pack: output of the rule; silu(z) w
};

}  // namespace tandem::lpu
