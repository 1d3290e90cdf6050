// Grids whose CTAs all do the same: linear-attention and scan kernels, where a CTA takes one chunk
// of one head. Sums over the grid are given as totals and dealt out exactly.
#pragma once

#include "models/gpu/plan.hpp"

namespace tandem::gpu {

/// One tile that each CTA fetches in a step. Consecutive CTAs may share it.
struct EvenLoad {
  static constexpr int every_step = -1;
  Operand operand = Operand::Activation;
  std::int64_t first_tile = 0;
  Bytes bytes;                     ///< of one fetch
  std::int64_t ctas_per_tile = 1;  ///< consecutive CTAs that fetch the same tile
  int step = 0;                    ///< in which it is needed; every_step: another tile each step
  std::int64_t sharers = 1;        ///< CTAs that divide the fetch among them
};

/// What one grid does in all. Issue and chain are per CTA and step.
struct EvenGrid {
  std::int64_t ctas = 1;
  int steps = 1;
  Flops tensor, tensor_padded, vector, special;
  Flops issue;
  std::int64_t chain = 0;
  std::vector<EvenLoad> loads;
  Bytes output;          ///< of the grid
  Bytes workspace;       ///< of one CTA, kept as tile first_workspace + cta
  Bytes step_workspace;  ///< of one step of one CTA, if not at its end
  std::int64_t first_workspace = -1;
  std::int64_t tiles = 1;  ///< of the kernel
};

[[nodiscard]] std::shared_ptr<const CtaProgram> even_program(EvenGrid grid);

/// Part of `total` that belongs to pieces [begin, end) of `pieces`; the parts sum to the total.
[[nodiscard]] std::int64_t share_of(std::int64_t total, std::int64_t pieces, std::int64_t begin,
                                    std::int64_t end);

/// `total` in proportion to `weights`; the parts sum to the total.
[[nodiscard]] std::vector<std::int64_t> split_by(std::int64_t total,
                                                 const std::vector<std::int64_t>& weights);

/// Issue slots, in threads, of warp instructions and of memory accesses that touch `lines` cache
/// lines each in its own cycle (an SM's load unit looks up one tag per clock).
[[nodiscard]] Flops issue_slots(std::int64_t warp_instructions, std::int64_t lines);
/// The same for programs of tile operations (Triton), whose warps meet at a barrier between any
/// two.
[[nodiscard]] Flops tile_issue_slots(std::int64_t warp_instructions, std::int64_t lines);

/// A product of tiles through tl.dot: operands go from registers to shared memory, past a barrier,
/// into the tensor instructions, and the result comes back. In units of params.matrix_latency.
[[nodiscard]] std::int64_t dot_chain(const GpuParams& params, std::int64_t dots,
                                     std::int64_t depth);

}  // namespace tandem::gpu
