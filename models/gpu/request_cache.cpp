#include "models/gpu/request_cache.hpp"

#include <fmt/format.h>

#include "sim/core/diagnostics.hpp"
#include "sim/core/integers.hpp"

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

/// Goes back to the states behind the first `tokens` tokens.
void restore_states(LayerCache& layer, std::int64_t tokens) {
  layer.delta = state_behind(layer.earlier_delta, tokens);
  layer.convolution = state_behind(layer.earlier_convolution, tokens);
  for (auto* earlier : {&layer.earlier_delta, &layer.earlier_convolution}) {
    earlier->erase(earlier->upper_bound(tokens), earlier->end());
  }
}

/// Of the states of a tree those along a path, as if its nodes were all.
void follow_path(std::map<std::int64_t, TrackedRows>& earlier, std::int64_t tokens,
                 std::span<const std::int64_t> places) {
  std::map<std::int64_t, TrackedRows> kept(earlier.begin(), earlier.upper_bound(tokens));
  for (const std::int64_t place : places) {
    kept.insert_or_assign(++tokens, state_behind(earlier, place + 1));
  }
  earlier = std::move(kept);
}

}  // namespace

const TrackedRows& state_behind(const std::map<std::int64_t, TrackedRows>& states,
                                std::int64_t tokens) {
  const auto found = states.find(tokens);
  if (found == states.end()) {
    throw ModelError(
        fmt::format("gpu: a recurrent state cannot give tokens back: none was kept of behind the "
                    "first {}",
                    tokens));
  }
  return found->second;
}

RequestCache empty_cache(const Stage& stage, const NeuralNetwork& network) {
  RequestCache cache;
  for (std::int64_t i = 0; i < stage.layers; ++i) {
    const LayerKind& kind = network.layer(stage.first_layer + i);
    cache.layers.push_back(
        std::visit([](const auto& mixer) { return empty_layer(mixer); }, kind.mixer));
  }
  return cache;
}

void grow_cache(RequestCache& cache, std::int64_t tokens, std::int64_t revocable) {
  const std::int64_t oldest = cache.tokens + tokens - revocable;
  for (LayerCache& layer : cache.layers) {
    if (layer.delta.width() == 0 || revocable == 0) continue;
    layer.earlier_delta.insert_or_assign(cache.tokens, layer.delta);
    layer.earlier_convolution.insert_or_assign(cache.tokens, layer.convolution);
    for (auto* earlier : {&layer.earlier_delta, &layer.earlier_convolution}) {
      earlier->erase(earlier->begin(), earlier->lower_bound(oldest));
    }
  }
  cache.tokens += tokens;
  for (LayerCache& layer : cache.layers) {
    for (TrackedRows* rows : {&layer.keys, &layer.values, &layer.index_keys}) {
      rows->settle();
      if (rows->width() > 0) rows->grow(tokens);
    }
    layer.delta.settle();
    layer.convolution.settle();
    for (auto* earlier : {&layer.earlier_delta, &layer.earlier_convolution}) {
      for (auto& [behind, state] : *earlier) state.settle();
    }
  }
}

void cut_cache(RequestCache& cache, std::int64_t tokens) {
  if (tokens > cache.tokens) {
    throw ModelError(fmt::format("gpu: {} tokens cannot be kept of {}", tokens, cache.tokens));
  }
  for (LayerCache& layer : cache.layers) {
    if (layer.delta.width() > 0 && tokens < cache.tokens) restore_states(layer, tokens);
    for (TrackedRows* rows : {&layer.keys, &layer.values, &layer.index_keys}) {
      if (rows->width() > 0) rows->shrink(tokens);
    }
    if (!layer.slots.empty()) layer.slots.resize(static_cast<std::size_t>(tokens));
    if (!layer.kept.empty()) {
      throw ModelError("gpu: tokens that pushed others out of the cache cannot be given back");
    }
  }
  cache.tokens = tokens;
}

void keep_path(RequestCache& cache, std::int64_t tokens, std::span<const std::int64_t> places) {
  std::int64_t last = tokens - 1;
  for (const std::int64_t place : places) {
    if (place <= last || place >= cache.tokens) {
      throw ModelError(
          fmt::format("gpu: place {} cannot follow place {} of {}", place, last, cache.tokens));
    }
    last = place;
  }
  for (LayerCache& layer : cache.layers) {
    std::int64_t to = tokens;
    for (const std::int64_t from : places) {
      for (TrackedRows* rows : {&layer.keys, &layer.values, &layer.index_keys}) {
        if (rows->width() > 0) rows->copy(from, to);
      }
      if (!layer.slots.empty()) layer.slots[index_of(to)] = layer.slots[index_of(from)];
      ++to;
    }
    if (layer.delta.width() == 0) continue;
    follow_path(layer.earlier_delta, tokens, places);
    follow_path(layer.earlier_convolution, tokens, places);
  }
  cut_cache(cache, tokens + static_cast<std::int64_t>(places.size()));
}

}  // namespace tandem::gpu
