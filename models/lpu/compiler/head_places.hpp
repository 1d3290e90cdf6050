// Heads as attention's steps name them. Inside of the compiler; see stage_compiler.hpp.
#pragma once

#include <array>

namespace tandem::lpu {

/// Head p of the pack in q vector q.
struct HeadOfPack {
  int q;
  int p;
};

/// A head against one block of an iteration; a sum in each hemisphere.
struct LatentScore {
  int block;
  int head;
  std::array<int, 2> accumulator;
};

/// The same with the token's turn among those that have sums under way.
struct LatentHead {
  int block;
  int head;
  int turn;
};

/// Head p of the pack in q vector q against one block of an iteration.
struct BlockHead {
  int block;
  int q;
  int p;
  int accumulator;
};

}  // namespace tandem::lpu
