// The indexer of sparse attention (DeepSeek-V3.2): scores of all visible keys, and the best of
// them.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "models/gpu/execute/bodies.hpp"
#include "models/gpu/functional_ops.hpp"
#include "sim/core/integers.hpp"

namespace tandem::gpu {
namespace {

constexpr double index_key_epsilon = 1e-6;  ///< deepseek-ai/DeepSeek-V3.2-Exp inference/model.py

const ops::IndexerShape& indexer_of(const KernelCall& call) {
  return *std::get<LatentAttention>(call.kind().mixer).indexer;
}

/// Positions of the `count` largest scores, ascending; equal scores go to the earlier position.
std::vector<std::int64_t> best_positions(std::span<const float> scores, std::int64_t count) {
  std::vector<std::int64_t> order(scores.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) {
    return scores[index_of(a)] > scores[index_of(b)];
  });
  order.resize(std::min(order.size(), index_of(count)));
  std::sort(order.begin(), order.end());
  return order;
}

/// sum over heads of w relu(q k); weights scaled by 1 / sqrt(heads head_dim). Never rounded.
float index_score(const KernelCall& call, std::span<const float> queries,
                  std::span<const float> weights, std::span<const float> key) {
  const ops::IndexerShape& s = indexer_of(call);
  const auto scale = static_cast<float>(1 / std::sqrt(static_cast<double>(s.heads * s.head_dim)));
  float sum = 0;
  for (std::int64_t head = 0; head < s.heads; ++head) {
    const float product = matrix_dot(call.on().kv_math(), part_of(queries, head, s.head_dim), key);
    sum += weights[index_of(head)] * scale * std::max(product, 0.0F);
  }
  return sum;
}

}  // namespace

void execute_index_key_norm(const KernelCall& call) {
  TrackedRows& keys = call.pass.at(Buffer::IndexKey);
  const auto& bias = call.weights().at("index_key_norm.bias");
  for (const std::int64_t row : call.on().order_of(keys.rows())) {
    const std::span<const float> x = keys.read(row, call.span.start);
    // What follows rotates at once: rounding waits until then.
    layer_norm_row(x, call.own_weights().row(0), bias.row(0), index_key_epsilon,
                   ElementType::Float32, keys.write(row, call.span.end));
  }
}

/// Queries and keys rotate in their first elements, as halves; keys go to their cache.
void execute_index_rope(const KernelCall& call) {
  const ops::IndexerShape& s = indexer_of(call);
  TrackedRows& queries = call.pass.at(Buffer::IndexQuery);
  TrackedRows& keys = call.pass.at(Buffer::IndexKey);
  const auto rotate = [&](std::int64_t position, std::span<float> head) {
    call.rotation().rotate(position, head, ops::RopeLayout::HalfSplit);
    for (float& value : head) value = round_to(call.on().type(), value);
  };
  for (const SliceOnChip& slice : call.pass.slices) {
    LayerCache& cache = call.cache(slice);
    for (std::int64_t i = 0; i < slice.slice.new_tokens; ++i) {
      const std::int64_t row = slice.first_row + i;
      const std::int64_t position = slice.slice.context + i;
      (void)queries.read(row, call.span.start);
      (void)keys.read(row, call.span.start);
      const std::span<float> q = queries.write(row, call.span.end);
      const std::span<float> k = keys.write(row, call.span.end);
      for (std::int64_t head = 0; head < s.heads; ++head) {
        rotate(position, part_of(q, head, s.head_dim));
      }
      rotate(position, k);
      std::ranges::transform(k, cache.index_keys.write(position, call.span.end).begin(),
                             [&](float value) { return round_to(call.on().kv_type(), value); });
    }
  }
}

/// Per token how many positions it attends to, then which.
void execute_indexer(const KernelCall& call) {
  const ops::IndexerShape& s = indexer_of(call);
  const TrackedRows& queries = call.pass.at(Buffer::IndexQuery);
  const TrackedRows& weights = call.pass.at(Buffer::IndexWeights);
  TrackedRows& chosen = call.pass.fresh(Buffer::Chosen, call.pass.tokens, 1 + s.top_k);
  for (const SliceOnChip& slice : call.pass.slices) {
    const LayerCache& cache = call.cache(slice);
    for (const std::int64_t i : call.on().order_of(slice.slice.new_tokens)) {
      const std::int64_t row = slice.first_row + i;
      const auto q = queries.read(row, call.span.start);
      const auto w = weights.read(row, call.span.start);
      std::vector<float> scores;
      for (std::int64_t token = 0; token <= slice.slice.context + i; ++token) {
        scores.push_back(index_score(call, q, w, cache.index_keys.read(token, call.span.start)));
      }
      const std::vector<std::int64_t> best = best_positions(scores, s.top_k);
      const std::span<float> out = chosen.write(row, call.span.end);
      out[0] = static_cast<float>(best.size());
      for (std::size_t at = 0; at < best.size(); ++at) out[at + 1] = static_cast<float>(best[at]);
    }
  }
}

}  // namespace tandem::gpu
