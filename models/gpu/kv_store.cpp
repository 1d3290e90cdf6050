#include "models/gpu/kv_store.hpp"

#include <cstring>
#include <utility>

#include "sim/core/diagnostics.hpp"
#include "sim/core/integers.hpp"

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

/// Where a table's values lie in a layer's caches. `Rows`: TrackedRows, const to read.
template <class Rows>
struct TableRows {
  Rows* rows;
  std::int64_t first_column;
};

/// By table, in order. `Cache`: LayerCache, const to read.
template <class Cache>
auto rows_of(const LayerMemory& memory, Cache& layer) {
  using Rows = std::remove_reference_t<decltype((layer.keys))>;
  std::vector<TableRows<Rows>> places;
  if (std::holds_alternative<KvShape>(memory)) {
    places = {{&layer.keys, 0}, {&layer.values, 0}};
  }
  if (const auto* delta = std::get_if<ops::GatedDeltaShape>(&memory)) {
    const std::int64_t keys = delta->key_heads * delta->key_dim;
    places = {{&layer.delta, 0},
              {&layer.convolution, 0},
              {&layer.convolution, keys},
              {&layer.convolution, 2 * keys}};
  }
  return places;
}

/// Calls `visit` with every run of values that a table has in one row of a cache: the cache, the
/// row, the run's first column and length, and its type.
template <class Cache, class Visit>
void for_runs(const KvBlock& block, Cache& cache, const Visit& visit) {
  for (std::size_t i = 0; i < block.layers.size(); ++i) {
    const auto places = rows_of(block.layers[i], cache.layers[i]);
    const auto tables = tables_of(block.layers[i], block.tokens, block.type, block.format);
    for (std::size_t t = 0; t < tables.size(); ++t) {
      // A state's heads are rows of the cache; elsewhere they stand side by side in one.
      const bool stacks = places[t].rows == &cache.layers[i].delta;
      const std::int64_t rows = stacks ? tables[t].heads : tables[t].rows;
      const std::int64_t width = tables[t].width * (stacks ? 1 : tables[t].heads);
      for (std::int64_t row = 0; row < rows; ++row) {
        visit(*places[t].rows, row, places[t].first_column, width, tables[t].type);
      }
    }
  }
}

KvBlock block_of(const Stage& stage, const NeuralNetwork& network, std::int64_t tokens) {
  return empty_block(network, stage.first_layer, stage.layers, stage.precision.kv_cache, tokens,
                     stage.precision.kv_format);
}

/// Slots as they are stored, layer by layer; layers with states have no slots and values instead.
KvBlock as_elements(const KvBlock& block) {
  KvBlock plain = block;
  plain.format = nullptr;
  plain.bytes.assign(index_of(plain.expected_size().count()), std::byte{});
  return plain;
}

/// The bytes of one layer's tables within a block.
std::span<const std::byte> bytes_of_layer(const KvBlock& block, std::size_t layer) {
  std::int64_t first = 0, length = 0;
  for (std::size_t i = 0; i <= layer; ++i) {
    first += length;
    length = 0;
    for (const MemoryTable& table :
         tables_of(block.layers[i], block.tokens, block.type, block.format)) {
      length += table.bytes();
    }
  }
  return std::span(block.bytes).subspan(index_of(first), index_of(length));
}

/// The block of values with its layers of KV as the slots that they were read back from.
KvBlock with_slots(const KvBlock& plain, const RequestCache& cache,
                   const formats::KvFormat* format) {
  KvBlock block = plain;
  block.format = format;
  block.bytes.clear();
  for (std::size_t i = 0; i < plain.layers.size(); ++i) {
    if (!std::holds_alternative<KvShape>(plain.layers[i])) {
      const auto own = bytes_of_layer(plain, i);
      block.bytes.insert(block.bytes.end(), own.begin(), own.end());
      continue;
    }
    for (const std::vector<std::uint8_t>& slots : cache.layers[i].slots) {
      const auto* raw = reinterpret_cast<const std::byte*>(slots.data());
      block.bytes.insert(block.bytes.end(), raw, raw + slots.size());
    }
  }
  return block;
}

void take_slots(const KvBlock& block, RequestCache& cache) {
  for (std::size_t i = 0; i < block.layers.size(); ++i) {
    if (!std::holds_alternative<KvShape>(block.layers[i]) || block.tokens == 0) continue;
    auto rest = bytes_of_layer(block, i);
    const std::size_t row = rest.size() / index_of(block.tokens);
    for (; !rest.empty(); rest = rest.subspan(row)) {
      const auto* raw = reinterpret_cast<const std::uint8_t*>(rest.data());
      cache.layers[i].slots.emplace_back(raw, raw + row);
    }
  }
}

void check_kept(const RequestCache& cache) {
  for (const LayerCache& layer : cache.layers) {
    if (layer.kept.empty()) continue;
    throw ModelError("gpu: what is left of an evicted cache does not move between chips");
  }
}

}  // namespace

KvBlock to_block(const Stage& stage, const NeuralNetwork& network, const RequestCache& cache) {
  check_kept(cache);
  const KvBlock own = block_of(stage, network, cache.tokens);
  KvBlock block = as_elements(own);
  std::vector<std::byte> bytes;
  bytes.reserve(block.bytes.size());
  // Between passes everything that was written is ready.
  const Picoseconds later(INT64_MAX);
  for_runs(block, cache,
           [&](const TrackedRows& rows, std::int64_t row, std::int64_t column, std::int64_t width,
               ElementType type) {
             append_row(rows.read(row, later).subspan(index_of(column), index_of(width)), type,
                        bytes);
           });
  block.bytes = std::move(bytes);
  return own.format == nullptr ? block : with_slots(block, cache, own.format);
}

RequestCache from_block(const Stage& stage, const NeuralNetwork& network, const KvBlock& block) {
  if (!block.has_shape_of(block_of(stage, network, block.tokens)) || !block.has_expected_size()) {
    throw ModelError("gpu: a KV block does not have the type and shape of this stage");
  }
  RequestCache cache = empty_cache(stage, network);
  grow_cache(cache, block.tokens, 0);
  if (block.format != nullptr) take_slots(block, cache);
  const KvBlock plain = block.converted(block.type);
  const std::byte* from = plain.bytes.data();
  for_runs(plain, cache,
           [&](TrackedRows& rows, std::int64_t row, std::int64_t column, std::int64_t width,
               ElementType type) {
             from = read_row(
                 from, type,
                 rows.write(row, Picoseconds(0)).subspan(index_of(column), index_of(width)));
           });
  return cache;
}

}  // namespace tandem::gpu
