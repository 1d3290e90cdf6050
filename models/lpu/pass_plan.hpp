// How the tokens of a batch are split into passes: programs of width 1, 2, 4 ... take that many
// tokens each.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "models/lpu/geometry.hpp"
#include "sim/core/units.hpp"
#include "sim/lower/batch.hpp"

namespace tandem::lpu {

/// One token of a batch.
struct PlannedToken {
  std::size_t slice = 0;      ///< of the batch
  std::int64_t position = 0;  ///< in its request
};

/// A pass: the width of the program, and the tokens that take part (never more).
struct PlannedPass {
  int width = 1;
  std::vector<PlannedToken> tokens;
};

/// What a pass of that width takes, whatever its tokens are.
using PassTime = std::function<Picoseconds(int width)>;

/// Tokens of a KV block of a stage; where its layers keep none, more than any request has.
[[nodiscard]] std::int64_t block_of(const Stage& stage, const Geometry& geometry);

/// The passes of a batch in the order of its tokens, each of width `most_width` at most (a
/// power of two): of the ways to split a number of tokens into powers of two, the last one possibly
/// larger than what is left, the one that takes least by `time`. Tokens of one request whose KV
/// blocks (of `block` tokens) differ never share a pass.
[[nodiscard]] std::vector<PlannedPass> plan_passes(const Batch& batch, std::int64_t block,
                                                   int most_width, const PassTime& time);

}  // namespace tandem::lpu
