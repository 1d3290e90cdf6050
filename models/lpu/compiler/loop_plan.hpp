// How the iterations of a loop over KV blocks follow each other, and what that costs.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "models/lpu/compiler/operator_use.hpp"

namespace tandem::lpu {

/// Scheduling strategies of the attention loops.
enum class LoopStrategy : std::uint8_t {
  /// An iteration begins when the last one has left the chip: the shortest first iteration, so the
  /// best where the context is one block.
  Sequential,
  /// An iteration begins every interval, however long it takes (modulo scheduling, Rau 1994): the
  /// interval comes down to what the busiest unit needs. Several blocks per iteration hide the
  /// latency between a product and its result, which all have to fit one interval of their queue.
  Overlapped,
};
[[nodiscard]] const char* name_of(LoopStrategy strategy);

/// A strategy with its parameter.
struct LoopPlan {
  LoopStrategy strategy = LoopStrategy::Sequential;
  int blocks = 1;  ///< KV blocks per iteration; blocks behind the last one are masked
};

/// Interval of a body whose iterations do not overlap, while it is being scheduled.
inline constexpr std::int64_t sequential_interval = std::int64_t{1} << 20;

/// Cycles of loops under one plan.
struct LoopCost {
  LoopPlan plan;
  std::int64_t first = 0;     ///< of the first iteration
  std::int64_t interval = 0;  ///< of every further one
  /// Cycles over `blocks` KV blocks.
  [[nodiscard]] std::int64_t at(std::int64_t blocks) const;
  /// Sum over contexts of 1 to `most` blocks, of which a loop reads at most `read`: what plans are
  /// compared by.
  [[nodiscard]] std::int64_t total(std::int64_t most, std::int64_t read) const;
};

/// A loop of a compiled stage, and the least interval that its busiest unit allows.
struct LoopUse {
  std::string name;
  LoopPlan plan;
  std::int64_t interval = 0;
  std::int64_t bound = 0;  ///< busy cycles of the busiest unit per iteration
  Resource busiest = Resource::SramPorts;
  [[nodiscard]] double per_block(std::int64_t cycles) const {
    return static_cast<double>(cycles) / plan.blocks;
  }
};

/// Busy cycles of the units per iteration of a complete body. Ordinary and special operations are
/// spread over all ALUs that may execute them.
[[nodiscard]] LoopUse use_of_body(const Scheduler& body);

}  // namespace tandem::lpu
