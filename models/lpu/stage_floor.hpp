// What a decode pass should take, from the shape of the network and the chip alone: the longest
// path on an idle chip plus the busiest resource. Shares no code with the compiler, so that a
// schedule can be judged against it. Each of the two parts is a bound by itself; their sum is not
// quite one, since a schedule may stream weights while it waits: small stages get to 0.93 of it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "models/lpu/collective/gang.hpp"
#include "models/lpu/geometry.hpp"
#include "sim/lower/batch.hpp"

namespace tandem::lpu {

/// What one operator needs at least. All figures in cycles, except where noted.
struct OperatorFloor {
  std::string name;
  /// Of its last vector on an idle chip: read + distance + units + return, from SRAM to SRAM. What
  /// runs beside the critical path counts zero.
  std::int64_t latency = 0;
  std::int64_t stream = 0;  ///< loads and installs of tiles on one plane
  std::int64_t mxm = 0;     ///< activations on one plane
  std::int64_t vxm = 0;     ///< operations over ALUs
  std::int64_t link = 0;    ///< vectors times the initiation interval
  std::int64_t tiles = 0;   ///< weight tiles, padded ones included
  double useful_tiles = 0;  ///< weights over weights of a tile
  /// The busiest of them for one further KV block. Every figure above is for one block.
  std::int64_t per_block = 0;
};

/// The floor of a pass of one token.
struct StageFloor {
  std::vector<OperatorFloor> operators;
  std::int64_t latency = 0;     ///< longest dependency path on an idle chip
  std::int64_t throughput = 0;  ///< the busiest of stream, MXM, VXM and links over all operators
  std::string busiest;          ///< which one that is
  /// Further KV blocks. Planes hold one tile beside the one in use, so while the loops over blocks
  /// run hardly any weights stream; and neither loop can run beside the other, which needs the
  /// maximum over all tokens. So what the busiest unit of each needs adds up. A layer with a
  /// sliding window needs the blocks that its tokens fill.
  std::int64_t further_blocks = 0;
  int hops = 0;             ///< of one all-reduce in a gang: 1 or 2, whichever gives less
  double padding_loss = 0;  ///< share of tile elements that no weight fills
  [[nodiscard]] std::int64_t cycles() const { return latency + throughput + further_blocks; }
  /// The floor of a pass of several tokens of different requests: weight tiles pass the streams
  /// once, everything else counts for every token.
  [[nodiscard]] std::int64_t cycles_of(int tokens) const;
};

/// The floor of a pass of one token at `context` tokens. Tiles and vectors count padded; tiles
/// spread evenly over all planes. Reductions over lanes cost their rounds of rotations, the order
/// of sums that the chip's numerics fix; the best experts cost the sweep by which programs find
/// them, one distance per cycle.
///
/// `gang`: the chips that share the stage, those of a tray joined by links of the geometry's first
/// class, those of one index in all trays by its tray links; figures are of one of them. Attention
/// and the feed-forward network each end in an all-reduce: its hops and sums (by rank, one after
/// the other) are on the path, its vectors times the interval go to the links. Either every chip
/// sends all vectors to every other one of its tray (one hop), or each adds up its part and passes
/// it on (two); over several trays either sum crosses them once more. The floor is the lesser of
/// both, whatever the programs do. Between stages of a pipeline every chip passes on its part
/// alone.
[[nodiscard]] StageFloor floor_of_stage(const Geometry& geometry, const LatencyTable& latencies,
                                        const Stage& stage, std::int64_t context,
                                        const GangShape& gang = {});

/// Cycles that `tiles` tiles occupy one plane's weight queue when all planes (pairs of planes for
/// two-byte weights) share them: LW issues and one install each.
[[nodiscard]] std::int64_t padded_stream_cycles(const Geometry& geometry, std::int64_t tiles,
                                                int bytes_per_weight);

}  // namespace tandem::lpu
