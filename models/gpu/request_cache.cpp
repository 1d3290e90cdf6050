#include "models/gpu/request_cache.hpp"

#include <fmt/format.h>

#include "sim/core/diagnostics.hpp"

namespace tandem::gpu {
namespace {

LayerCache empty_layer(const GroupedAttention& a) {
  LayerCache layer;
  layer.keys = {"keys", 0, a.kv_width()};
  layer.values = {"values", 0, a.kv_width()};
  return layer;
}

LayerCache empty_layer(const LatentAttention& a) {
  LayerCache layer;
  layer.keys = {"shared keys", 0, a.shape.rope_dim};
  layer.values = {"latents", 0, a.shape.kv_rank};
  if (a.indexer) layer.index_keys = {"index keys", 0, a.indexer->head_dim};
  return layer;
}

/// Rows of zeros that may be read at once.
TrackedRows zeros(const char* name, std::int64_t rows, std::int64_t width) {
  TrackedRows state(name, rows, width);
  for (std::int64_t row = 0; row < rows; ++row) (void)state.write(row, Picoseconds(0));
  return state;
}

LayerCache empty_layer(const GatedDelta& d) {
  const ops::GatedDeltaShape& s = d.shape;
  LayerCache layer;
  layer.delta = zeros("delta state", s.value_heads, s.key_dim * s.value_dim);
  layer.convolution = zeros("convolution state", s.conv_taps - 1, s.conv_channels());
  return layer;
}

LayerCache empty_layer(const MixerElsewhere&) {
  return {};
}

}  // namespace

RequestCache empty_cache(const Stage& stage, const NeuralNetwork& network) {
  RequestCache cache;
  for (std::int64_t i = 0; i < stage.layers; ++i) {
    const LayerKind& kind = network.layer(stage.first_layer + i);
    cache.layers.push_back(
        std::visit([](const auto& mixer) { return empty_layer(mixer); }, kind.mixer));
  }
  return cache;
}

void grow_cache(RequestCache& cache, std::int64_t tokens) {
  cache.tokens += tokens;
  for (LayerCache& layer : cache.layers) {
    for (TrackedRows* rows : {&layer.keys, &layer.values, &layer.index_keys}) {
      rows->settle();
      if (rows->width() > 0) rows->grow(tokens);
    }
    layer.delta.settle();
    layer.convolution.settle();
  }
}

void cut_cache(RequestCache& cache, std::int64_t tokens) {
  if (tokens > cache.tokens) {
    throw ModelError(fmt::format("gpu: {} tokens cannot be kept of {}", tokens, cache.tokens));
  }
  for (LayerCache& layer : cache.layers) {
    if (layer.delta.width() > 0 && tokens < cache.tokens) {
      throw ModelError("gpu: a recurrent state cannot give tokens back");
    }
    for (TrackedRows* rows : {&layer.keys, &layer.values, &layer.index_keys}) {
      if (rows->width() > 0) rows->shrink(tokens);
    }
  }
  cache.tokens = tokens;
}

}  // namespace tandem::gpu
