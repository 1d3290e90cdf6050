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
    const auto tables = tables_of(block.layers[i], block.tokens, block.type);
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
  return empty_block(network, stage.first_layer, stage.layers, stage.precision.kv_cache, tokens);
}

}  // namespace

KvBlock to_block(const Stage& stage, const NeuralNetwork& network, const RequestCache& cache) {
  KvBlock block = block_of(stage, network, cache.tokens);
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
  return block;
}

RequestCache from_block(const Stage& stage, const NeuralNetwork& network, const KvBlock& block) {
  if (!block.has_shape_of(block_of(stage, network, block.tokens)) || !block.has_expected_size()) {
    throw ModelError("gpu: a KV block does not have the type and shape of this stage");
  }
  RequestCache cache = empty_cache(stage, network);
  grow_cache(cache, block.tokens, 0);
  const std::byte* from = block.bytes.data();
  for_runs(block, cache,
           [&](TrackedRows& rows, std::int64_t row, std::int64_t column, std::int64_t width,
               ElementType type) {
             from = read_row(
                 from, type,
                 rows.write(row, Picoseconds(0)).subspan(index_of(column), index_of(width)));
           });
  return cache;
}

}  // namespace tandem::gpu
