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

/// What the layers of a mixer keep per token.
struct KvShape {
  std::int64_t heads = 0, width = 0, value_width = 0;
  RopeLayout layout = RopeLayout::HalfSplit;
  bool operator==(const KvShape&) const = default;
};

KvShape kv_shape_of(const GroupedAttention& a) {
  const std::int64_t width = a.shape.head_dim;
  return {a.shape.kv_heads, width, width, a.rope ? a.rope->layout : RopeLayout::HalfSplit};
}

KvShape kv_shape_of(const LatentAttention& a) {
  if (a.indexer) throw ModelError("gpu: keys of an indexer do not move between chips yet");
  return {1, a.shape.rope_dim, a.shape.kv_rank, a.rope.layout};
}

KvShape kv_shape_of(const GatedDelta&) {
  throw ModelError("gpu: recurrent states do not move between chips yet");
}

KvShape kv_shape_of(const MixerElsewhere&) {
  return {};
}

/// The shape of keys and values that all layers of a stage have.
KvBlock empty_block(const Stage& stage, const NeuralNetwork& network) {
  KvShape shape;
  for (std::int64_t i = 0; i < stage.layers; ++i) {
    const LayerKind& kind = network.layer(stage.first_layer + i);
    const KvShape own =
        std::visit([](const auto& mixer) { return kv_shape_of(mixer); }, kind.mixer);
    if (i > 0 && !(own == shape)) {
      throw ModelError("gpu: KV of layers of different shapes does not move between chips yet");
    }
    shape = own;
  }
  KvBlock block;
  block.type = stage.precision.kv_cache;
  block.rope_layout = shape.layout;
  block.first_layer = stage.first_layer;
  block.layers = stage.layers;
  block.kv_heads = shape.heads;
  block.head_dim = shape.width;
  block.value_dim = shape.value_width == shape.width ? 0 : shape.value_width;
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
                    block.head_dim == own.head_dim && block.value_width() == own.value_width() &&
                    block.rope_layout == own.rope_layout &&
                    static_cast<std::int64_t>(block.bytes.size()) == block.expected_size().count();
  if (!fits) throw ModelError("gpu: a KV block does not have the type and shape of this stage");
  RequestCache cache = empty_cache(stage, network);
  grow_cache(cache, block.tokens, 0);
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
