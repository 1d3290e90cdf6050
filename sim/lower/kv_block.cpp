#include "sim/lower/kv_block.hpp"

#include <algorithm>
#include <cstring>
#include <string>

#include "sim/core/diagnostics.hpp"
#include "sim/core/integers.hpp"

namespace tandem {
namespace {

LayerMemory memory_of_mixer(const GroupedAttention& a) {
  const std::int64_t width = a.shape.head_dim;
  return KvShape{a.shape.kv_heads, width, width, a.rope ? a.rope->layout : RopeLayout::HalfSplit};
}

LayerMemory memory_of_mixer(const LatentAttention& a) {
  if (a.indexer) throw ModelError("keys of an indexer do not move between chips yet");
  return KvShape{1, a.shape.rope_dim, a.shape.kv_rank, a.rope.layout};
}

LayerMemory memory_of_mixer(const GatedDelta& d) {
  return d.shape;
}

LayerMemory memory_of_mixer(const MixerElsewhere&) {
  return {};
}

formats::KvHead head_of(const KvShape& kv, ElementType type) {
  const bool is_latent = kv.key_dim != kv.value_dim;
  return {kv.key_dim, kv.value_dim, is_latent ? std::optional(type) : std::nullopt};
}

std::vector<MemoryTable> tables(const std::monostate&, std::int64_t, ElementType,
                                const formats::KvFormat*) {
  return {};
}

std::vector<MemoryTable> tables(const KvShape& kv, std::int64_t tokens, ElementType type,
                                const formats::KvFormat* format) {
  if (format != nullptr) {
    const std::int64_t slot = formats::slot_bytes(*format, head_of(kv, type));
    return {{HeadKind::Kv, tokens, kv.heads, slot, ElementType::Int8}};
  }
  return {{HeadKind::Kv, tokens, kv.heads, kv.key_dim, type},
          {HeadKind::Kv, tokens, kv.heads, kv.value_dim, type}};
}

std::vector<MemoryTable> tables(const ops::GatedDeltaShape& d, std::int64_t, ElementType,
                                const formats::KvFormat*) {
  const ElementType type = ElementType::Float32;
  const MemoryTable keys{HeadKind::DeltaKey, d.conv_taps - 1, d.key_heads, d.key_dim, type};
  return {{HeadKind::DeltaValue, 1, d.value_heads, d.key_dim * d.value_dim, type},
          keys,
          keys,
          {HeadKind::DeltaValue, d.conv_taps - 1, d.value_heads, d.value_dim, type}};
}

/// Every table of a block with the place of its first byte.
template <class Visit>
void for_tables(const KvBlock& block, const Visit& visit) {
  std::int64_t at = 0;
  for (const LayerMemory& layer : block.layers) {
    for (const MemoryTable& table : tables_of(layer, block.tokens, block.type, block.format)) {
      visit(table, at);
      at += table.bytes();
    }
  }
}

std::int64_t heads_held(std::int64_t heads, std::int64_t ranks) {
  return std::max<std::int64_t>(1, heads / ranks);
}

LayerMemory share_of_rank(const LayerMemory& layer, std::int64_t ranks) {
  LayerMemory share = layer;
  if (auto* kv = std::get_if<KvShape>(&share)) kv->heads = heads_held(kv->heads, ranks);
  if (auto* delta = std::get_if<ops::GatedDeltaShape>(&share)) {
    delta->key_heads = heads_held(delta->key_heads, ranks);
    delta->value_heads = heads_held(delta->value_heads, ranks);
  }
  return share;
}

/// Copies, row by row, all heads of `part` from or to where rank `rank` has them in `whole`.
template <class Copy>
void for_shared_heads(const KvBlock& part, const KvBlock& whole, std::int64_t rank,
                      std::int64_t ranks, const Copy& copy) {
  std::vector<std::pair<MemoryTable, std::int64_t>> all;
  for_tables(whole,
             [&](const MemoryTable& table, std::int64_t at) { all.emplace_back(table, at); });
  std::size_t next = 0;
  for_tables(part, [&](const MemoryTable& own, std::int64_t at) {
    const auto& [table, begin] = all.at(next++);
    const std::int64_t first = rank * table.heads / ranks;
    const std::int64_t length = own.heads * own.head_bytes();
    for (std::int64_t row = 0; row < own.rows; ++row) {
      copy(begin + (row * table.heads + first) * table.head_bytes(), at + row * length, length);
    }
  });
}

/// Keys and values as numbers, [token][head][width].
struct KvRows {
  std::vector<float> keys, values;
};

std::vector<float> decoded(std::span<const std::byte> from, ElementType type) {
  std::vector<float> values(from.size() / index_of(bytes_of(type)));
  for (float& value : values) {
    std::uint32_t code = 0;
    std::memcpy(&code, from.data(), index_of(bytes_of(type)));
    value = decode_element(type, code);
    from = from.subspan(index_of(bytes_of(type)));
  }
  return values;
}

void append_elements(std::span<const float> values, ElementType type,
                     std::vector<std::byte>& bytes) {
  for (const float value : values) {
    const std::uint32_t code = encode_element(type, value);
    const auto* raw = reinterpret_cast<const std::byte*>(&code);
    bytes.insert(bytes.end(), raw, raw + bytes_of(type));
  }
}

KvRows read_rows(const KvShape& kv, std::int64_t tokens, ElementType type,
                 const formats::KvFormat* format, std::span<const std::byte> from) {
  const std::int64_t slots = tokens * kv.heads;
  if (format == nullptr) {
    const std::size_t split = index_of(slots * kv.key_dim * bytes_of(type));
    return {decoded(from.first(split), type), decoded(from.subspan(split), type)};
  }
  KvRows rows;
  rows.keys.resize(index_of(slots * kv.key_dim));
  rows.values.resize(index_of(slots * kv.value_dim));
  const formats::KvCodec codec(*format, head_of(kv, type));
  const auto* raw = reinterpret_cast<const std::uint8_t*>(from.data());
  for (std::int64_t i = 0; i < slots; ++i) {
    codec.decode(
        {raw + index_of(i) * codec.bytes(), codec.bytes()},
        std::span(rows.keys).subspan(index_of(i * kv.key_dim), index_of(kv.key_dim)),
        std::span(rows.values).subspan(index_of(i * kv.value_dim), index_of(kv.value_dim)));
  }
  for (auto* values : {&rows.keys, &rows.values}) {
    for (float& value : *values) value = round_to(type, value);
  }
  return rows;
}

void append(const KvRows& rows, const KvShape& kv, ElementType type,
            const formats::KvFormat* format, std::vector<std::byte>& bytes) {
  if (format == nullptr) {
    append_elements(rows.keys, type, bytes);
    return append_elements(rows.values, type, bytes);
  }
  const formats::KvCodec codec(*format, head_of(kv, type));
  std::vector<std::uint8_t> slot(codec.bytes());
  for (std::size_t i = 0; i < rows.keys.size() / index_of(kv.key_dim); ++i) {
    codec.encode(std::span(rows.keys).subspan(i * index_of(kv.key_dim), index_of(kv.key_dim)),
                 std::span(rows.values).subspan(i * index_of(kv.value_dim), index_of(kv.value_dim)),
                 slot);
    const auto* raw = reinterpret_cast<const std::byte*>(slot.data());
    bytes.insert(bytes.end(), raw, raw + slot.size());
  }
}

}  // namespace

LayerMemory memory_of(const Mixer& mixer) {
  return std::visit([](const auto& kind) { return memory_of_mixer(kind); }, mixer);
}

std::vector<MemoryTable> tables_of(const LayerMemory& layer, std::int64_t tokens, ElementType type,
                                   const formats::KvFormat* format) {
  return std::visit([&](const auto& memory) { return tables(memory, tokens, type, format); },
                    layer);
}

Bytes KvBlock::expected_size() const {
  std::int64_t total = 0;
  for_tables(*this, [&](const MemoryTable& table, std::int64_t) { total += table.bytes(); });
  return Bytes(total);
}

bool KvBlock::has_expected_size() const {
  return static_cast<std::int64_t>(bytes.size()) == expected_size().count();
}

KvBlock KvBlock::converted(ElementType target, const formats::KvFormat* target_format) const {
  if (!has_expected_size()) {
    throw ModelError("kv block: holds " + std::to_string(bytes.size()) +
                     " bytes, its shape needs " + std::to_string(expected_size().count()));
  }
  KvBlock result = *this;
  if (target == type && target_format == format) return result;
  result.type = target;
  result.format = target_format;
  result.bytes.clear();
  auto from = std::span<const std::byte>(bytes);
  for (const LayerMemory& layer : layers) {
    std::int64_t length = 0;
    for (const MemoryTable& table : tables_of(layer, tokens, type, format)) length += table.bytes();
    const auto own = from.first(index_of(length));
    from = from.subspan(own.size());
    if (const auto* kv = std::get_if<KvShape>(&layer)) {
      append(read_rows(*kv, tokens, type, format, own), *kv, target, target_format, result.bytes);
    } else {
      result.bytes.insert(result.bytes.end(), own.begin(), own.end());
    }
  }
  return result;
}

KvBlock KvBlock::of_layers(std::int64_t first, std::int64_t count) const {
  KvBlock part = *this;
  part.first_layer = first;
  part.layers.clear();
  part.bytes.clear();
  auto from = bytes.begin();
  for (std::size_t i = 0; i < layers.size(); ++i) {
    std::int64_t length = 0;
    for (const MemoryTable& table : tables_of(layers[i], tokens, type, format)) {
      length += table.bytes();
    }
    const std::int64_t layer = first_layer + static_cast<std::int64_t>(i);
    if (layer >= first && layer < first + count) {
      part.layers.push_back(layers[i]);
      part.bytes.insert(part.bytes.end(), from, from + length);
    }
    from += length;
  }
  return part;
}

bool KvBlock::has_shape_of(const KvBlock& other) const {
  return type == other.type && format == other.format && first_layer == other.first_layer &&
         tokens == other.tokens && layers == other.layers;
}

KvBlock empty_block(const NeuralNetwork& network, std::int64_t first, std::int64_t count,
                    ElementType type, std::int64_t tokens, const formats::KvFormat* format) {
  KvBlock block{type, first, tokens, {}, {}, format};
  for (std::int64_t layer = first; layer < first + count; ++layer) {
    block.layers.push_back(memory_of(network.layer(layer).mixer));
  }
  block.bytes.resize(index_of(block.expected_size().count()));
  return block;
}

KvBlock heads_of_rank(const KvBlock& whole, std::int64_t rank, std::int64_t ranks) {
  KvBlock part = whole;
  for (LayerMemory& layer : part.layers) layer = share_of_rank(layer, ranks);
  part.bytes.assign(index_of(part.expected_size().count()), std::byte{});
  for_shared_heads(
      part, whole, rank, ranks, [&](std::int64_t from, std::int64_t to, std::int64_t length) {
        std::memcpy(part.bytes.data() + to, whole.bytes.data() + from, index_of(length));
      });
  return part;
}

void put_heads(const KvBlock& part, std::int64_t rank, std::int64_t ranks, KvBlock& whole) {
  for_shared_heads(
      part, whole, rank, ranks, [&](std::int64_t to, std::int64_t from, std::int64_t length) {
        std::memcpy(whole.bytes.data() + to, part.bytes.data() + from, index_of(length));
      });
}

}  // namespace tandem
