#include "sim/step/anchors.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "sim/lower/cascade.hpp"

namespace tandem {
namespace {

Bracket bracket_between(double low, double high, double value) {
  if (value <= low || high <= low) return {low, low, 0};
  return {low, high, (value - low) / (high - low)};
}

/// Rows of a tile of matrix products: time steps up where the rows of a pass begin another.
constexpr double tile_rows = 128;

std::int64_t whole(double value) {
  return std::llround(value);
}

// Chunks that together have `tokens` tokens and whose tokens see `visible` keys on average: one
// chunk on top of a context where the mean exceeds what a chunk by itself has, else several chunks
// without context. A chunk of q tokens by itself shows (q + 1) / 2 keys to its mean token.
void add_chunks(std::int64_t tokens, double visible, bool wants_logits, Batch& batch) {
  const double alone = (static_cast<double>(tokens) + 1) / 2;
  if (visible >= alone) {
    batch.slices.push_back({.request = static_cast<std::int64_t>(batch.slices.size()),
                            .context = whole(visible - alone),
                            .new_tokens = tokens,
                            .wants_logits = wants_logits});
    return;
  }
  const std::int64_t length = std::max<std::int64_t>(1, whole(2 * visible - 1));
  for (std::int64_t left = tokens; left > 0; left -= length) {
    batch.slices.push_back({.request = static_cast<std::int64_t>(batch.slices.size()),
                            .context = 0,
                            .new_tokens = std::min(left, length),
                            .wants_logits = wants_logits});
  }
}

/// A corner on the way: its place along the features so far, and their share.
struct Place {
  std::array<double, 7> at;
  double weight;
};

}  // namespace

BatchFeatures features_of(const Batch& batch) {
  BatchFeatures features;
  double context = 0;
  double visible = 0;
  double round_tokens = 0;
  for (const SequenceSlice& slice : batch.slices) {
    features.wants_logits = features.wants_logits || slice.wants_logits;
    if (slice.is_decode()) {
      features.decodes += 1;
      context += static_cast<double>(slice.context);
      round_tokens += static_cast<double>(slice.new_tokens);
      features.verifies = features.verifies || slice.verified > 0;
    } else {
      const auto tokens = static_cast<double>(slice.new_tokens);
      features.prefill_tokens += tokens;
      visible += tokens * (static_cast<double>(slice.context) + (tokens + 1) / 2);
    }
  }
  if (features.decodes > 0) {
    const Cascade cascade = cascade_of(batch.slices);
    double shared = 0;
    for (const QuerySpan& span : cascade.prefixes) {
      shared += static_cast<double>(span.q_len * span.kv_len);
    }
    features.round_tokens = round_tokens / features.decodes;
    features.prefix_tokens = shared / round_tokens;
    features.decode_context = context / features.decodes - features.prefix_tokens;
    if (cascade.exists()) {
      features.sharers = static_cast<double>(cascade.queries) / features.round_tokens /
                         static_cast<double>(cascade.prefixes.size());
    }
  }
  if (features.prefill_tokens > 0) features.prefill_visible = visible / features.prefill_tokens;
  return features;
}

Batch anchor_batch(const BatchFeatures& point) {
  Batch batch;
  const std::int64_t round = whole(point.round_tokens);
  const std::int64_t prefix = whole(point.prefix_tokens);
  for (std::int64_t i = 0; i < whole(point.decodes); ++i) {
    batch.slices.push_back(
        {.request = i,
         .context = prefix + std::max<std::int64_t>(1, whole(point.decode_context)),
         .new_tokens = round,
         .wants_logits = true,
         .verified = point.verifies ? round - 1 : 0,
         .in_round = round > 1,
         .prefix = prefix > 0 ? i / whole(point.sharers) : 0,
         .prefix_tokens = prefix});
  }
  const std::int64_t tokens = whole(point.prefill_tokens);
  if (tokens > 0) add_chunks(tokens, point.prefill_visible, point.wants_logits, batch);
  return batch;
}

Bracket bracket_half_octave(double value) {
  if (value <= 0) return {0, 0, 0};
  double low = 1;
  while (low * 2 <= value) low *= 2;
  if (low < 2) return bracket_between(1, 2, value);
  const double middle = low * 1.5;
  return value < middle ? bracket_between(low, middle, value)
                        : bracket_between(middle, low * 2, value);
}

Bracket bracket_prompt(double value) {
  if (value <= tile_rows) return bracket_half_octave(value);
  const double below = std::ceil(value / tile_rows - 1) * tile_rows;
  return bracket_between(below + 1, below + tile_rows, value);
}

Bracket bracket_decodes(double value, const DecodeEdges& edges) {
  if (value <= 8) return bracket_unit(value);
  Bracket bracket = bracket_half_octave(value);
  for (const std::int64_t edge : edges) {
    for (const auto point : {static_cast<double>(edge), static_cast<double>(edge + 1)}) {
      if (point <= value) bracket.low = std::max(bracket.low, point);
      if (point >= value) bracket.high = std::min(bracket.high, point);
    }
  }
  return bracket_between(bracket.low, bracket.high, value);
}

Bracket bracket_octave(double value) {
  const double first = 16;
  const double second = 64;
  if (value <= first) return bracket_between(1, first, value);
  if (value <= second) return bracket_between(first, second, value);
  double low = second;
  while (low * 2 <= value) low *= 2;
  return bracket_between(low, low * 2, value);
}

Bracket bracket_unit(double value) {
  return bracket_between(std::floor(value), std::floor(value) + 1, value);
}

DecodeEdges wave_edges(std::int64_t units, std::int64_t runs, std::int64_t groups) {
  DecodeEdges edges;
  for (const std::int64_t slots : {units / 3, units / 2, units, 2 * units}) {
    edges.push_back(slots / runs * groups);
  }
  return edges;
}

std::vector<Corner> corners_of(const BatchFeatures& features, const DecodeEdges& edges) {
  const Bracket prefix =
      features.prefix_tokens > 0 ? bracket_octave(features.prefix_tokens) : Bracket{};
  const std::array<Bracket, 7> brackets = {bracket_decodes(features.decodes, edges),
                                           bracket_octave(features.decode_context),
                                           features.decodes > 0
                                               ? bracket_half_octave(features.prefill_tokens)
                                               : bracket_prompt(features.prefill_tokens),
                                           bracket_octave(features.prefill_visible),
                                           bracket_unit(features.round_tokens),
                                           prefix,
                                           bracket_half_octave(features.sharers)};
  std::array<Place, 1U << 7> places;
  places[0].weight = 1;
  std::size_t count = 1;
  for (std::size_t i = 0; i < brackets.size(); ++i) {
    const Bracket& bracket = brackets[i];
    const double upper = bracket.upper_weight;
    // Upper halves behind the lower ones; those of no weight are not made.
    if (upper > 0 && upper < 1) std::copy_n(places.begin(), count, places.begin() + count);
    const std::size_t lower_end = upper < 1 ? count : 0;
    if (upper > 0 && upper < 1) count *= 2;
    for (std::size_t k = 0; k < count; ++k) {
      places[k].at[i] = k < lower_end ? bracket.low : bracket.high;
      places[k].weight *= k < lower_end ? 1 - upper : upper;
    }
  }
  std::vector<Corner> corners;
  corners.reserve(count);
  for (std::size_t k = 0; k < count; ++k) {
    const std::array<double, 7>& at = places[k].at;
    corners.push_back({{at[0], at[1], at[2], at[3], features.wants_logits, at[4], features.verifies,
                        at[5], at[6]},
                       places[k].weight});
  }
  return corners;
}

}  // namespace tandem
