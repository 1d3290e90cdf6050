// What a request leaves behind in the layers of a stage, in the one layout in which chips exchange
// it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <variant>
#include <vector>

#include "sim/core/units.hpp"
#include "sim/describe/neural_network.hpp"
#include "sim/numerics/element.hpp"
#include "sim/numerics/formats/kv_format.hpp"

namespace tandem {

/// Keys, after rotation, and values of every token. Latent attention has one head: its key is the
/// one that all heads share, its value the latent.
struct KvShape {
  std::int64_t heads = 0, key_dim = 0, value_dim = 0;
  RopeLayout layout = RopeLayout::HalfSplit;
  bool operator==(const KvShape&) const = default;
};

/// What one layer keeps: nothing (its mixer is elsewhere), KV, or a recurrent state with the last
/// inputs of its convolution.
using LayerMemory = std::variant<std::monostate, KvShape, ops::GatedDeltaShape>;

/// Throws ModelError for sparse attention: keys of an indexer do not move between chips.
[[nodiscard]] LayerMemory memory_of(const Mixer& mixer);

/// Which heads a table has: a gang's ranks hold equal runs of each kind.
enum class HeadKind : std::uint8_t { Kv, DeltaKey, DeltaValue };

/// Values of a layer's memory, [rows][heads][width].
struct MemoryTable {
  HeadKind kind = HeadKind::Kv;
  std::int64_t rows = 0, heads = 0, width = 0;
  ElementType type = ElementType::Float32;
  [[nodiscard]] std::int64_t head_bytes() const { return width * bytes_of(type); }
  [[nodiscard]] std::int64_t bytes() const { return rows * heads * head_bytes(); }
};

/// Tables of a layer after `tokens` tokens, in their order. KV: keys and values, a row per token,
/// in `type`, or with a format one of slots, as bytes. Gated DeltaNet, always float32: the state S,
/// one row of [key_dim][value_dim] per value head; then the inputs of the convolution for queries,
/// keys and values, a row for each of the last taps - 1 tokens, oldest first and zero before the
/// first token.
[[nodiscard]] std::vector<MemoryTable> tables_of(const LayerMemory& layer, std::int64_t tokens,
                                                 ElementType type,
                                                 const formats::KvFormat* format = nullptr);

/// Memory of one request in consecutive layers: the tables of each, one after the other.
struct KvBlock {
  ElementType type = ElementType::Float32;  ///< of keys and values
  std::int64_t first_layer = 0, tokens = 0;
  std::vector<LayerMemory> layers;
  std::vector<std::byte> bytes;
  /// How slots are stored; `type` is then that of latent attention's keys and of what is read
  /// back. Null: elements.
  const formats::KvFormat* format = nullptr;
  [[nodiscard]] Bytes expected_size() const;
  [[nodiscard]] bool has_expected_size() const;
  /// The same with keys and values in another type, each rounded once, or in a format. Slots of the
  /// same format stay as they are. Throws ModelError where the bytes are not as many as the shape
  /// needs.
  [[nodiscard]] KvBlock converted(ElementType type,
                                  const formats::KvFormat* format = nullptr) const;
  /// `count` of the layers, from network layer `first` on.
  [[nodiscard]] KvBlock of_layers(std::int64_t first, std::int64_t count) const;
  /// Without bytes: what both must have in common to be exchanged.
  [[nodiscard]] bool has_shape_of(const KvBlock& other) const;
  bool operator==(const KvBlock&) const = default;
};

/// The block of layers [first, first + count) of `network`, as long as `tokens` tokens make it and
/// all zeros.
[[nodiscard]] KvBlock empty_block(const NeuralNetwork& network, std::int64_t first,
                                  std::int64_t count, ElementType type, std::int64_t tokens,
                                  const formats::KvFormat* format = nullptr);

/// The heads that one of `ranks` chips holds of a block with all heads. Heads fewer than ranks are
/// held by several.
[[nodiscard]] KvBlock heads_of_rank(const KvBlock& whole, std::int64_t rank, std::int64_t ranks);

/// Puts the heads of one of `ranks` chips where they belong in a block with all of them.
void put_heads(const KvBlock& part, std::int64_t rank, std::int64_t ranks, KvBlock& whole);

}  // namespace tandem
