// Micro-batches that alternate between chips that run the token mixers of all layers and gangs of
// chips with static schedules that each run the feed-forward blocks of some layers.
#pragma once

#include <cstdint>
#include <vector>

#include "sim/core/units.hpp"
#include "sim/step/pass_trace.hpp"

namespace tandem {

/// What a micro-batch meets where it leaves the mixers' chips for one layer.
struct FeedForwardVisit {
  std::size_t gang = 0;             ///< that runs this layer's block
  Picoseconds there;                ///< over the bridge
  std::vector<Picoseconds> passes;  ///< of the block's program, in turn; not none
  Picoseconds back;
  [[nodiscard]] Picoseconds service() const;  ///< of all passes
};

/// What one micro-batch meets.
struct MicroBatchWay {
  std::vector<Picoseconds> legs;         ///< on the mixers' chips: before visit l; behind the last
  std::vector<FeedForwardVisit> visits;  ///< one fewer
};

/// How long one round of all micro-batches takes, and where the first of them spends it.
struct PingPong {
  Picoseconds time;        ///< until the last micro-batch is through
  Picoseconds mixing;      ///< on the mixers' chips
  Picoseconds mixer_wait;  ///< for these, while others have them
  Picoseconds bridge;      ///< there and back
  Picoseconds slot_wait;   ///< for turns of the layer's program
  Picoseconds feeding;     ///< in feed-forward blocks
  Picoseconds gang_busy;   ///< of the busiest gang, all micro-batches
};

/// Sends micro-batches, not none and the largest first, through all layers. The mixers' chips take
/// one micro-batch at a time, the one that has come first (equal ones by number). Each gang loops
/// over the programs of its layers, one pass of each as long as the largest micro-batch's, and
/// begins at time 0 with that of its first layer: a pass takes rows of the micro-batch that is
/// there when its turn begins, and runs empty where none is. A micro-batch goes back when its last
/// pass is through. `trace`, where wanted, gets the way of every micro-batch.
[[nodiscard]] PingPong ping_pong(const std::vector<MicroBatchWay>& ways,
                                 PassTrace* trace = nullptr);

}  // namespace tandem
