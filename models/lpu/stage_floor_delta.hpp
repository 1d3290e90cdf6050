// Gated DeltaNet's part of a stage's floor. Inside of stage_floor; see there for the conventions.
#pragma once

#include <vector>

#include "models/lpu/stage_floor_latent.hpp"

namespace tandem::lpu {

/// The operators from the layer's first norm, which is not among them, to the output projection,
/// and the update of the states, which runs beside what follows. Every row of a state passes the
/// vector unit in one token: a product and a sum for the key, as many for the query, and two
/// products and a sum for its update (Gated Delta Networks, arXiv 2412.06464, equation 10), for all
/// heads that fit a vector side by side. Norms of keys and queries run beside the states.
[[nodiscard]] std::vector<OperatorFloor> delta_floor(const Geometry& geometry,
                                                     const LatencyTable& latencies,
                                                     const GatedDelta& delta,
                                                     const FloorFormats& formats);

}  // namespace tandem::lpu
