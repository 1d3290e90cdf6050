#include "models/gpu/kv_store.hpp"

#include <cstring>

#include "sim/core/diagnostics.hpp"

namespace tandem::gpu {
namespace {

void append_row(std::span<const float> row, ElementType type, std::vector<std::byte>& bytes) {
  for (const float value : row) {
    const std::uint32_t bits = encode_element(type, value);
    std::byte raw[sizeof bits];
    std::memcpy(raw, &bits, sizeof bits);
    bytes.insert(bytes.end(), raw, raw + bytes_of(type));
  }
}

const std::byte* read_row(const std::byte* from, ElementType type, std::span<float> row) {
  for (float& value : row) {
    std::uint32_t bits = 0;
    std::memcpy(&bits, from, static_cast<std::size_t>(bytes_of(type)));
    value = decode_element(type, bits);
    from += bytes_of(type);
  }
  return from;
}

/// The shape of keys and values that all layers of a stage have.
KvBlock empty_block(const Stage& stage, const NeuralNetwork& network) {
  KvBlock block;
  block.type = stage.precision.kv_cache;
  block.first_layer = stage.first_layer;
  block.layers = stage.layers;
  for (std::int64_t i = 0; i < stage.layers; ++i) {
    const LayerKind& kind = network.layer(stage.first_layer + i);
    const auto* a = std::get_if<GroupedAttention>(&kind.mixer);
    if (a == nullptr) {
      throw ModelError("gpu: latents and recurrent states do not move between chips yet");
    }
    const RopeLayout layout = a->rope ? a->rope->layout : RopeLayout::HalfSplit;
    const bool differs = a->shape.kv_heads != block.kv_heads ||
                         a->shape.head_dim != block.head_dim || layout != block.rope_layout;
    if (i > 0 && differs) {
      throw ModelError("gpu: KV of layers of different shapes does not move between chips yet");
    }
    block.kv_heads = a->shape.kv_heads;
    block.head_dim = a->shape.head_dim;
    block.rope_layout = layout;
  }
  return block;
}

}  // namespace

KvBlock to_block(const Stage& stage, const NeuralNetwork& network, const RequestCache& cache) {
  KvBlock block = empty_block(stage, network);
  block.tokens = cache.tokens;
  block.bytes.reserve(static_cast<std::size_t>(block.expected_size().count()));
  // Between passes everything that was written is ready.
  const Picoseconds later(INT64_MAX);
  for (const LayerCache& layer : cache.layers) {
    for (const TrackedRows* rows : {&layer.keys, &layer.values}) {
      for (std::int64_t token = 0; token < block.tokens; ++token) {
        append_row(rows->read(token, later), block.type, block.bytes);
      }
    }
  }
  return block;
}

RequestCache from_block(const Stage& stage, const NeuralNetwork& network, const KvBlock& block) {
  KvBlock own = empty_block(stage, network);
  own.tokens = block.tokens;
  const bool fits = block.type == own.type && block.layers == own.layers &&
                    block.first_layer == own.first_layer && block.kv_heads == own.kv_heads &&
                    block.head_dim == own.head_dim && block.rope_layout == own.rope_layout &&
                    static_cast<std::int64_t>(block.bytes.size()) == block.expected_size().count();
  if (!fits) throw ModelError("gpu: a KV block does not have the type and shape of this stage");
  RequestCache cache = empty_cache(stage, network);
  grow_cache(cache, block.tokens);
  const std::byte* from = block.bytes.data();
  for (LayerCache& layer : cache.layers) {
    for (TrackedRows* rows : {&layer.keys, &layer.values}) {
      for (std::int64_t token = 0; token < block.tokens; ++token) {
        from = read_row(from, block.type, rows->write(token, Picoseconds(0)));
      }
    }
  }
  return cache;
}

}  // namespace tandem::gpu
