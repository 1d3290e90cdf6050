// Formats of weights, cached keys and values, and activations of a pool: one for all weights, or by
// layer and part.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sim/describe/tensors.hpp"
#include "sim/numerics/element.hpp"
#include "sim/numerics/formats/kv_format.hpp"
#include "sim/numerics/formats/quant_format.hpp"

namespace tandem {

/// Weights that may have a format of their own.
enum class WeightPart : std::uint8_t {
  Mixers,       ///< projections of attention and gated delta layers, of the indexer and of modules
                ///< of multi-token prediction
  FeedForward,  ///< dense blocks and shared experts
  Experts,      ///< routed ones
  Head,
  Embedding,
  Rest  ///< norms, biases, routers, gates: never quantised
};

inline constexpr std::array weight_parts{WeightPart::Mixers, WeightPart::FeedForward,
                                         WeightPart::Experts, WeightPart::Head,
                                         WeightPart::Embedding};

[[nodiscard]] std::string_view name_of(WeightPart part);

/// The part that a tensor belongs to. A table that is tied to the head counts as embedding.
[[nodiscard]] WeightPart part_of(const TensorSpec& tensor);

/// The layer of a tensor of a network, "layers.N."; -1 for all others.
[[nodiscard]] std::int64_t layer_of(const TensorSpec& tensor);

/// How weights are stored: as elements, or as codes with scales.
struct WeightStorage {
  ElementType element = ElementType::Bfloat16;
  const formats::QuantFormat* format =
      nullptr;  ///< one of formats::quant_formats(); null: elements
  bool operator==(const WeightStorage&) const = default;
};

/// Weights stored otherwise than the rest of the model.
struct WeightOverride {
  std::int64_t first_layer = 0;
  std::int64_t last_layer = std::numeric_limits<std::int64_t>::max();
  std::optional<WeightPart> part;  ///< none: the three parts of layers
  WeightStorage weights;
  [[nodiscard]] bool names_all_layers() const {
    return first_layer == 0 && last_layer == std::numeric_limits<std::int64_t>::max();
  }
  bool operator==(const WeightOverride&) const = default;
};

/// Formats of one pool.
///
/// `weight_format` holds for the parts of layers; head, embedding and the rest are elements of type
/// `weights`. Without it all weights are such elements. Of overrides that name a tensor the last
/// one holds.
struct Precision {
  ElementType weights = ElementType::Bfloat16;
  ElementType kv_cache = ElementType::Bfloat16;
  ElementType activations = ElementType::Bfloat16;
  /// Weights in fp8 with a scale for every block of 128 x 128, multiplied with rows that are
  /// quantised by 128 elements first (DeepSeek-V3, arXiv 2412.19437, section 3.3.2). Tables, router
  /// and LM head are elements of the activations' type.
  bool block_scaled = false;
  const formats::QuantFormat* weight_format = nullptr;
  /// What rows are quantised in before products of weights that have a format; null: kept.
  const formats::QuantFormat* activation_format = nullptr;
  /// Memory holds what formats leave of the weights as elements of type `weights`.
  bool is_expanded = false;
  std::vector<WeightOverride> overrides = {};
  /// How slots of the cache are stored; null: keys and values are elements of type `kv_cache`. With
  /// a format `kv_cache` is the type in which attention multiplies what the codec gives back.
  const formats::KvFormat* kv_format = nullptr;

  /// Whether any weights have a format.
  [[nodiscard]] bool has_formats() const;
  /// What the values of a part's weights have gone through in a layer (outside of layers: -1).
  [[nodiscard]] WeightStorage values_of(WeightPart part, std::int64_t layer) const;
  /// What memory holds of them.
  [[nodiscard]] WeightStorage storage_of(WeightPart part, std::int64_t layer) const;
  /// What their products multiply; null: elements as they are stored.
  [[nodiscard]] const formats::Precision* products_of(WeightPart part, std::int64_t layer) const;
  /// The same without quantised inputs.
  [[nodiscard]] const formats::Precision* weight_only(WeightPart part, std::int64_t layer) const;
  /// Content key of what goes beyond the element types; 0 where nothing does.
  [[nodiscard]] std::uint64_t formats_key() const;
  bool operator==(const Precision&) const = default;
};

/// The same with fp8 elements as what they are, codes with a factor per matrix (formats `fp8`, and
/// `fp8_block` where scaled by block); norms, biases and routers stay in a wider type.
[[nodiscard]] Precision with_scales(Precision precision);

/// The same formats with weights held as elements of a type.
[[nodiscard]] Precision expanded_to(Precision precision, ElementType type);

/// "int4_g128 (experts mxfp4, layers 0-1 fp8_channel) x int8": how weights are stored and
/// multiplied.
[[nodiscard]] std::string formats_text(const Precision& precision);

/// Bytes of a tensor as it is stored; a tensor of experts holds one matrix for each.
[[nodiscard]] std::int64_t stored_bytes(const TensorSpec& tensor, const WeightStorage& storage);

}  // namespace tandem
