// The grid of passes that are simulated so that the passes between them can be interpolated. The
// grid is a function of the scenario alone; which of its points are simulated follows from the
// batches of the run.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <vector>

#include "sim/lower/batch.hpp"

namespace tandem {

/// What the cost of a pass mainly depends on.
struct BatchFeatures {
  double decodes = 0;          ///< sequences that compute one token on top of a context, or a round
  double decode_context = 0;   ///< their mean context, but for what they share
  double prefill_tokens = 0;   ///< tokens of prompt chunks
  double prefill_visible = 0;  ///< mean number of keys that such a token attends to, itself too
  bool wants_logits = false;   ///< anyone is sampled from
  double round_tokens = 1;     ///< mean new tokens of a decode; more than one in speculative rounds
  bool verifies = false;       ///< all new tokens of a round are sampled from
  double prefix_tokens = 0;    ///< mean tokens that a decode shares with others in the pass
  double sharers = 1;          ///< mean number of decodes that share a prefix
  auto operator<=>(const BatchFeatures&) const = default;
};

[[nodiscard]] BatchFeatures features_of(const Batch& batch);

/// A pass at a grid point: decodes of equal context and prompt chunks that have the grid point's
/// tokens and mean visible keys. features_of() of the result gives the point back, up to rounding.
[[nodiscard]] Batch anchor_batch(const BatchFeatures& point);

/// One corner of the grid cell around a batch, with its share in the multilinear interpolation.
struct Corner {
  BatchFeatures point;  ///< anchor_batch() makes the pass
  double weight = 0;
};

/// Numbers of decodes at which time jumps: an anchor stands on either side, at the number and at
/// one more. In ascending order.
using DecodeEdges = std::vector<std::int64_t>;

/// Edges where each of `groups` parts of the batch has `runs` CTAs per decode: those of a third, a
/// half, one and two waves over `units`. Kernels split long contexts over the units of a wave.
[[nodiscard]] DecodeEdges wave_edges(std::int64_t units, std::int64_t runs, std::int64_t groups);

/// The corners with non-zero weights, which sum to one; the first is the lowest.
[[nodiscard]] std::vector<Corner> corners_of(const BatchFeatures& features,
                                             const DecodeEdges& edges = {});

/// Grid points along one feature, as the pair around `value` and the weight of the upper one.
struct Bracket {
  double low = 0;
  double high = 0;
  double upper_weight = 0;
};
/// Whole numbers 0, 1, 2, 3, 4, 6, 8, 12, 16, 24, ...: two points per octave.
[[nodiscard]] Bracket bracket_half_octave(double value);
/// As bracket_half_octave() up to 128, then the first and last number of each tile of 128: time
/// jumps between tiles. For passes of prompts alone, which are few enough.
[[nodiscard]] Bracket bracket_prompt(double value);
/// Whole numbers up to 8, then two points per octave and those beside the edges.
[[nodiscard]] Bracket bracket_decodes(double value, const DecodeEdges& edges);
/// Whole numbers 1, 16, 64, 128, 256, ...: one point per octave from 64 on.
[[nodiscard]] Bracket bracket_octave(double value);
/// Whole numbers.
[[nodiscard]] Bracket bracket_unit(double value);

}  // namespace tandem
