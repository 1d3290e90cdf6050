// Where the chips of a gang meet within a pass, and what they exchange there.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "sim/lower/collective_op.hpp"
#include "sim/lower/sharding.hpp"
#include "sim/numerics/element.hpp"

namespace tandem {

/// Whom a chip of a gang exchanges with.
enum class RankGroup : std::uint8_t {
  Attention,  ///< the tensor x context chips of its attention group
  Context,    ///< those of them with its tensor rank
  Gang,       ///< all
  Elsewhere   ///< other chips, which run the layer's other half: hidden rows go there and come back
};

/// A point of a pass that a chip passes together with others. Chips that meet have the same
/// exchanges with each other in the same order; where a chip has no rows, `rows` is 0.
struct Exchange {
  std::string_view role;    ///< "attention_reduce", "expert_dispatch", ...
  std::int64_t layer = -1;  ///< as Kernel::layer
  std::int32_t after = 0;   ///< kernels of the pass issued before it
  CollectiveOp op = CollectiveOp::AllReduce;
  RankGroup group = RankGroup::Attention;
  /// Whole output (all_gather), whole input (all_reduce, reduce_scatter) or send buffer
  /// (all_to_all) as rows of `width` elements; dispatch and combine: rows that the chip owns.
  std::int64_t rows = 0, width = 0;
  ElementType type = ElementType::Bfloat16;
  bool adds_residual = false;           ///< the sum is added to the hidden rows
  std::int64_t top_k = 0, experts = 0;  ///< dispatch and combine; copies of experts count
  /// Dispatch and combine: a token's experts are in `top_groups` of `groups` equal runs of them.
  std::int64_t groups = 1, top_groups = 1;
  MoeTransport transport = MoeTransport::LowLatency;
  bool operator==(const Exchange&) const = default;
};

/// The ranks of a gang that a rank exchanges with, itself included, ascending.
[[nodiscard]] std::vector<std::int64_t> peers_of(RankGroup group, const Shard& shard);

}  // namespace tandem
