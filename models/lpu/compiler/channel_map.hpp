// Which channel of a matrix every lane of its vectors carries. Inside of the compiler.
#pragma once

#include <cstdint>
#include <vector>

#include "models/lpu/compiler/layout.hpp"

namespace tandem::lpu {

inline constexpr std::int64_t absent = -1;

/// Channel of a matrix for every lane of every vector; `absent` for padding.
using ChannelMap = std::vector<std::int64_t>;

/// Channels `first` .. `first + width` in order, over `vectors`.
inline ChannelMap natural(std::int64_t first, std::int64_t width, int vectors, int lanes) {
  ChannelMap map(static_cast<std::size_t>(std::int64_t{vectors} * lanes), absent);
  for (std::int64_t i = 0; i < width; ++i) map[static_cast<std::size_t>(i)] = first + i;
  return map;
}

/// Lane d of head p of pack j carries channel d of kv head j * P + p, or of q head g of its group.
inline ChannelMap packed(const StageShape& shape, int group) {
  const int vectors = shape.packs * group;
  ChannelMap map(static_cast<std::size_t>(std::int64_t{vectors} * shape.lanes), absent);
  for (int vector = 0; vector < vectors; ++vector) {
    const int j = vector / group;
    for (int p = 0; p < shape.heads_in_pack(j); ++p) {
      const std::int64_t head = std::int64_t{j * shape.pack_heads + p} * group + vector % group;
      for (int d = 0; d < shape.head_dim; ++d) {
        map[static_cast<std::size_t>(std::int64_t{vector} * shape.lanes + p * shape.head_dim + d)] =
            head * shape.head_dim + d;
      }
    }
  }
  return map;
}

/// Channels of a matrix that holds two runs of `width` channels for every head, one behind the
/// other: those of run `which` in place of a head's own.
inline ChannelMap half_of_pairs(ChannelMap map, std::int64_t width, int which) {
  for (std::int64_t& channel : map) {
    if (channel != absent) channel += (channel / width + which) * width;
  }
  return map;
}

}  // namespace tandem::lpu
