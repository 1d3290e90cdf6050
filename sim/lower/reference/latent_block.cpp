#include "sim/lower/reference/latent_block.hpp"

#include <algorithm>
#include <cmath>
#include <string>

#include "sim/core/diagnostics.hpp"
#include "sim/numerics/ops/latent_attention.hpp"
#include "sim/numerics/ops/layernorm.hpp"
#include "sim/numerics/ops/linear.hpp"
#include "sim/numerics/ops/rope.hpp"

namespace tandem::reference {
namespace {

constexpr float index_norm_epsilon = 1e-6F;

/// `attention`, unless a rotation would reach past a head.
const LatentAttention& checked(const LatentAttention& attention) {
  const std::int64_t rotated = attention.rope.rotated;
  const std::int64_t rope_dim = attention.shape.rope_dim;
  if (rotated < 0 || rotated % 2 != 0 || rope_dim % 2 != 0 || rotated > rope_dim) {
    throw ModelError("latent attention: rope rotates " + std::to_string(rotated) + " of the " +
                     std::to_string(rope_dim) +
                     " elements of a key; both are even, the first is at most the second");
  }
  if (attention.indexer && attention.indexer->head_dim < rope_dim) {
    throw ModelError("latent attention: an indexer's keys of " +
                     std::to_string(attention.indexer->head_dim) + " elements cannot hold the " +
                     std::to_string(rope_dim) + " that rotate");
  }
  return attention;
}

}  // namespace

LatentBlock::LatentBlock(const NeuralNetwork& network, const LatentAttention& attention,
                         const LayerTensors& tensors, const ops::Arithmetic& arithmetic)
    : attention_(checked(attention)),
      norm_(network.norm),
      arithmetic_(arithmetic),
      frequencies_(ops::rope_frequencies(attention.rope, attention.shape.rope_dim)),
      magnitude_(ops::rope_magnitude(attention.rope)),
      query_down_(tensors.find("attention.query_down")),
      query_norm_(tensors.find("attention.query_norm")),
      query_up_(tensors.at("attention.query_up")),
      kv_down_(tensors.at("attention.kv_down")),
      kv_norm_(tensors.at("attention.kv_norm")),
      kv_up_(tensors.at("attention.kv_up")),
      output_(tensors.at("attention.output")),
      index_query_(tensors.find("indexer.query")),
      index_key_(tensors.find("indexer.key")),
      index_norm_(tensors.find("indexer.key_norm")),
      index_norm_bias_(tensors.find("indexer.key_norm_bias")),
      index_weights_(tensors.find("indexer.head_weights")) {}

void LatentBlock::cut(LayerState& state, std::int64_t tokens) const {
  state.tokens = tokens;
  state.k.resize(size_of(tokens * attention_.shape.kv_rank));
  state.v.resize(size_of(tokens * attention_.shape.rope_dim));
  if (attention_.indexer) state.index_keys.resize(size_of(tokens * attention_.indexer->head_dim));
}

void LatentBlock::forward(std::span<const float> x, std::int64_t tokens, Forms forms,
                          LayerState& state, std::span<float> out) const {
  const auto hidden = static_cast<std::int64_t>(x.size()) / tokens;
  for (std::int64_t t = 0; t < tokens; ++t) {
    step(row_of(x, t, hidden), forms, state, row_of(out, t, hidden));
  }
}

void LatentBlock::make_query(std::span<const float> x, std::int64_t position,
                             std::vector<float>& latent, std::vector<float>& q) const {
  const ops::LatentShape& shape = attention_.shape;
  latent.assign(x.begin(), x.end());
  if (shape.query_rank > 0) {
    latent.resize(size_of(shape.query_rank));
    ops::linear(query_down_, x, {}, arithmetic_, latent);
    normalise_heads(norm_, query_norm_, shape.query_rank, arithmetic_, latent);
  }
  q.resize(size_of(shape.heads * shape.query_dim()));
  ops::linear(query_up_, latent, {}, arithmetic_, q);
  for (std::int64_t head = 0; head < shape.heads; ++head) {
    const auto rotating =
        row_of(std::span(q), head, shape.query_dim()).last(size_of(shape.rope_dim));
    ops::rotate_heads(rotating, shape.rope_dim, frequencies_, attention_.rope.layout, magnitude_,
                      position);
  }
  arithmetic_.round(q);
}

void LatentBlock::make_cached(std::span<const float> x, LayerState& state) const {
  const ops::LatentShape& shape = attention_.shape;
  const std::int64_t position = state.tokens;
  cut(state, position + 1);
  std::vector<float> down(size_of(shape.cached_elements()));
  ops::linear(kv_down_, x, {}, arithmetic_, down);
  const auto latent = row_of(std::span(state.k), position, shape.kv_rank);
  const auto key = row_of(std::span(state.v), position, shape.rope_dim);
  std::ranges::copy(std::span(down).first(latent.size()), latent.begin());
  std::ranges::copy(std::span(down).last(key.size()), key.begin());
  normalise_heads(norm_, kv_norm_, shape.kv_rank, arithmetic_, latent);
  ops::rotate_heads(key, shape.rope_dim, frequencies_, attention_.rope.layout, magnitude_,
                    position);
  arithmetic_.round(key);
}

std::vector<std::int32_t> LatentBlock::choose(std::span<const float> x,
                                              std::span<const float> latent,
                                              LayerState& state) const {
  if (!attention_.indexer) return {};
  const ops::IndexerShape& shape = *attention_.indexer;
  const std::int64_t position = state.tokens - 1;
  std::vector<float> q(size_of(shape.heads * shape.head_dim));
  std::vector<float> weights(size_of(shape.heads));
  const auto key = row_of(std::span(state.index_keys), position, shape.head_dim);
  ops::linear(index_query_, latent, {}, arithmetic_, q);
  ops::linear(index_key_, x, {}, arithmetic_, key);
  ops::linear(index_weights_, x, {}, arithmetic_, weights);
  ops::layernorm(key, index_norm_, index_norm_bias_, index_norm_epsilon, key);
  const auto rotate = [&](std::span<float> heads) {
    ops::rotate_heads(heads, shape.head_dim, frequencies_, ops::RopeLayout::HalfSplit, magnitude_,
                      position);
    arithmetic_.round(heads);
  };
  rotate(q);
  rotate(key);
  const double widths = static_cast<double>(shape.heads * shape.head_dim);
  for (float& weight : weights) weight *= static_cast<float>(1 / std::sqrt(widths));
  const auto scores = ops::index_scores(
      shape, q, weights, {state.index_keys, shape.head_dim, state.tokens}, arithmetic_);
  return ops::choose_top(scores, shape.top_k);
}

void LatentBlock::step(std::span<const float> x, Forms forms, LayerState& state,
                       std::span<float> out) const {
  const ops::LatentShape& shape = attention_.shape;
  std::vector<float> latent;
  std::vector<float> q;
  make_query(x, state.tokens, latent, q);
  make_cached(x, state);
  const std::vector<std::int32_t> chosen = choose(x, latent, state);
  const ops::CacheRows latents{state.k, shape.kv_rank, state.tokens};
  const ops::CacheRows keys{state.v, shape.rope_dim, state.tokens};
  std::vector<float> mixed(size_of(shape.heads * shape.value_dim));
  if (forms.absorbed) {
    ops::latent_attention_absorbed(shape, q, kv_up_, latents, keys, chosen, arithmetic_, mixed);
  } else {
    ops::latent_attention_naive(shape, q, kv_up_, latents, keys, chosen, arithmetic_, mixed);
  }
  ops::linear(output_, mixed, {}, arithmetic_, out);
}

}  // namespace tandem::reference
