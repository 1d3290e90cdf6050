#include "models/gpu/kv_store.hpp"

#include <cstring>

#include "sim/core/diagnostics.hpp"
#include "sim/describe/dense_decoder.hpp"

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

}  // namespace

KvBlock to_block(const Stage& stage, const RequestKv& kv) {
  const DenseDecoder net = dense_decoder_of(stage.network, "gpu");
  KvBlock block;
  block.type = stage.precision.kv_cache;
  block.rope_layout = net.rope.layout;
  block.first_layer = stage.first_layer;
  block.layers = stage.layers;
  block.tokens = kv.keys.empty() ? 0 : kv.keys[0].rows();
  block.kv_heads = net.kv_heads;
  block.head_dim = net.head_dim;
  block.bytes.reserve(static_cast<std::size_t>(block.expected_size().count()));
  // Between passes everything that was written is ready.
  const Picoseconds later(INT64_MAX);
  for (std::size_t layer = 0; layer < kv.keys.size(); ++layer) {
    for (const TrackedRows* rows : {&kv.keys[layer], &kv.values[layer]}) {
      for (std::int64_t token = 0; token < block.tokens; ++token) {
        append_row(rows->read(token, later), block.type, block.bytes);
      }
    }
  }
  return block;
}

RequestKv from_block(const Stage& stage, const KvBlock& block) {
  const DenseDecoder net = dense_decoder_of(stage.network, "gpu");
  const bool fits = block.type == stage.precision.kv_cache && block.layers == stage.layers &&
                    block.first_layer == stage.first_layer && block.kv_heads == net.kv_heads &&
                    block.head_dim == net.head_dim && block.rope_layout == net.rope.layout &&
                    static_cast<std::int64_t>(block.bytes.size()) == block.expected_size().count();
  if (!fits) throw ModelError("gpu: a KV block does not have the type and shape of this stage");
  RequestKv kv;
  const std::byte* from = block.bytes.data();
  for (std::int64_t layer = 0; layer < block.layers; ++layer) {
    kv.keys.emplace_back("keys", block.tokens, net.kv_width());
    kv.values.emplace_back("values", block.tokens, net.kv_width());
    for (TrackedRows* rows : {&kv.keys.back(), &kv.values.back()}) {
      for (std::int64_t token = 0; token < block.tokens; ++token) {
        from = read_row(from, block.type, rows->write(token, Picoseconds(0)));
      }
    }
  }
  return kv;
}

}  // namespace tandem::gpu
