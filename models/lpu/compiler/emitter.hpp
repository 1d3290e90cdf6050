// From placed instructions with their cycles to the words of every queue: NOPs for gaps, Repeat for
// arithmetic runs, LoopReg for loop segments in every queue that goes on afterwards.
#pragma once

#include <algorithm>
#include <map>

#include "models/lpu/compiler/scheduler.hpp"
#include "models/lpu/isa.hpp"

namespace tandem::lpu {

/// The queues of a finished schedule, and which operator each word came from (a Repeat of words of
/// several operators belongs to the first). Queue 0 gives the Notify that releases all others
/// `barrier` cycles later, in the scheduler's first cycle.
void emit_queues(const Scheduler& scheduler, Program& program);

/// Further iterations of the loops of layers with a sliding window.
struct WindowCycles {
  std::int64_t per_iteration = 0;  ///< all of these loops together
  int blocks_per_iteration = 1;
  int most_blocks = 1;  ///< that the loops read, however many a request has
  [[nodiscard]] std::int64_t further_iterations(std::int64_t blocks) const {
    return (std::min<std::int64_t>(blocks, most_blocks) - 1) / blocks_per_iteration;
  }
};

/// Cycles of a finished schedule as the machine counts them: a + b * further iterations, apart for
/// loops over all blocks and over those of a window.
struct CyclePrediction {
  std::int64_t base = 0;           ///< every loop runs once
  std::int64_t per_iteration = 0;  ///< all loops over all blocks together
  int blocks_per_iteration = 1;    ///< KV blocks
  WindowCycles window;
  /// Of a loop over `blocks` KV blocks, behind the first.
  [[nodiscard]] std::int64_t further_iterations(std::int64_t blocks) const {
    return (blocks - 1) / blocks_per_iteration;
  }
  /// Cycles of a pass over `blocks` KV blocks.
  [[nodiscard]] std::int64_t at(std::int64_t blocks) const {
    return base + per_iteration * further_iterations(blocks) +
           window.per_iteration * window.further_iterations(blocks);
  }
};
/// `base`, and `per_iteration` of all loops whatever they count.
[[nodiscard]] CyclePrediction predict_cycles(const Scheduler& scheduler);
/// Cycles of one further iteration of all loops that a host register counts, by register.
[[nodiscard]] std::map<int, std::int64_t> iteration_cycles(const Scheduler& scheduler);

}  // namespace tandem::lpu
