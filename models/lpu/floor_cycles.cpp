// Cycles of weight queues and of passes of several tokens.
#include <algorithm>

#include "models/lpu/stage_floor.hpp"

namespace tandem::lpu {

std::int64_t StageFloor::cycles_of(int tokens) const {
  std::int64_t stream = 0;
  std::int64_t products = 0;
  std::int64_t operations = 0;
  std::int64_t links = 0;
  for (const OperatorFloor& part : operators) {
    const std::int64_t again = part.tiles > 0 ? part.stream_by_token : part.stream;
    stream += part.stream + (tokens - 1) * again;
    products += tokens * part.mxm;
    operations += tokens * part.vxm;
    links = std::max(links, tokens * part.link);
  }
  return latency + std::max({stream, products, operations, links}) + tokens * further_blocks;
}

std::int64_t padded_stream_cycles(const Geometry& geometry, std::int64_t tiles,
                                  int bytes_per_weight) {
  const int units = bytes_per_weight == 2 ? geometry.planes / 2 : geometry.planes;
  return (tiles + units - 1) / units * (geometry.lw_issues() + 1);
}

}  // namespace tandem::lpu
