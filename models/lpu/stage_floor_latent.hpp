// Latent attention's part of a stage's floor. Inside of stage_floor; see there for the conventions.
#pragma once

#include <vector>

#include "models/lpu/stage_floor.hpp"
#include "sim/describe/neural_network.hpp"

namespace tandem::lpu {

/// What the operators of a stage have in common.
struct FloorFormats {
  std::int64_t hidden = 0;  ///< channels of the hidden state
  std::int64_t ranks = 1;   ///< chips that share the heads; every one makes all latents
  int weight_bytes = 1, kv_bytes = 1;
};

/// The operators from the layer's first norm, which is not among them, to the output projection, in
/// the absorbed form (DeepSeek-V2, arXiv 2405.04434, section 2.1). The norm of a cached latent runs
/// beside that of the queries' latent. A tile of an up-projection counts once for all heads in it.
[[nodiscard]] std::vector<OperatorFloor> latent_floor(const Geometry& geometry,
                                                      const LatencyTable& latencies,
                                                      const LatentAttention& attention,
                                                      const FloorFormats& formats);

}  // namespace tandem::lpu
