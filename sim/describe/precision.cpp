#include "sim/describe/precision.hpp"

#include "sim/core/hash.hpp"

namespace tandem {
namespace {

bool is_of_layers(WeightPart part) {
  return part == WeightPart::Mixers || part == WeightPart::FeedForward ||
         part == WeightPart::Experts;
}

/// Gates and taps that enter no product of matrices, or one whose output is a number per head.
bool is_small(std::string_view name) {
  for (const std::string_view end : {"delta.conv", "delta.a", "delta.b", "shared.switch"}) {
    if (name.ends_with(end)) return true;
  }
  return false;
}

bool names(const WeightOverride& change, WeightPart part, std::int64_t layer) {
  if (change.part ? *change.part != part : !is_of_layers(part)) return false;
  if (!is_of_layers(part) || change.names_all_layers()) return true;
  return layer >= change.first_layer && layer <= change.last_layer;
}

void add(Hasher& hash, const formats::QuantFormat* format) {
  hash.add(format == nullptr ? std::string_view("none") : format->name);
}

}  // namespace

std::string_view name_of(WeightPart part) {
  switch (part) {
    case WeightPart::Mixers:
      return "mixers";
    case WeightPart::FeedForward:
      return "feed_forward";
    case WeightPart::Experts:
      return "experts";
    case WeightPart::Head:
      return "head";
    case WeightPart::Embedding:
      return "embedding";
    case WeightPart::Rest:
      return "rest";
  }
  return "";
}

WeightPart part_of(const TensorSpec& tensor) {
  const bool is_bias = tensor.name.ends_with("_bias");
  if (tensor.shape.size() < 2 || is_bias || is_small(tensor.name)) return WeightPart::Rest;
  switch (tensor.role) {
    case TensorRole::Embedding:
      return tensor.name == "embedding" ? WeightPart::Embedding : WeightPart::Rest;
    case TensorRole::Head:
      return WeightPart::Head;
    case TensorRole::Mixing:
    case TensorRole::Indexer:
      return WeightPart::Mixers;
    case TensorRole::Ffn:
      return WeightPart::FeedForward;
    case TensorRole::Expert:
      return WeightPart::Experts;
    case TensorRole::Norm:
    case TensorRole::Router:
      break;
  }
  return WeightPart::Rest;
}

std::int64_t layer_of(const TensorSpec& tensor) {
  constexpr std::string_view prefix = "layers.";
  if (!tensor.name.starts_with(prefix)) return -1;
  return std::stoll(tensor.name.substr(prefix.size()));
}

bool Precision::has_formats() const {
  if (weight_format != nullptr || block_scaled) return true;
  for (const WeightOverride& change : overrides) {
    if (change.weights.format != nullptr) return true;
  }
  return false;
}

WeightStorage Precision::values_of(WeightPart part, std::int64_t layer) const {
  WeightStorage storage{weights, is_of_layers(part) ? weight_format : nullptr};
  if (block_scaled && is_of_layers(part)) storage.format = &formats::find_quant_format("fp8_block");
  if (block_scaled && !is_of_layers(part)) storage.element = activations;
  if (part == WeightPart::Rest) return storage;
  for (const WeightOverride& change : overrides) {
    if (names(change, part, layer)) storage = change.weights;
  }
  return storage;
}

WeightStorage Precision::storage_of(WeightPart part, std::int64_t layer) const {
  return is_expanded ? WeightStorage{weights, nullptr} : values_of(part, layer);
}

const formats::Precision* Precision::products_of(WeightPart part, std::int64_t layer) const {
  const formats::QuantFormat* format = storage_of(part, layer).format;
  if (format == nullptr) return nullptr;
  if (block_scaled)
    return &formats::precision_of(*format, &formats::find_quant_format("fp8_group"));
  return &formats::precision_of(*format, activation_format);
}

const formats::Precision* Precision::weight_only(WeightPart part, std::int64_t layer) const {
  const formats::QuantFormat* format = storage_of(part, layer).format;
  return format == nullptr || block_scaled ? nullptr : &formats::precision_of(*format, nullptr);
}

std::uint64_t Precision::formats_key() const {
  if (weight_format == nullptr && activation_format == nullptr && !is_expanded &&
      overrides.empty()) {
    return 0;
  }
  Hasher hash;
  add(hash, weight_format);
  add(hash, activation_format);
  hash.add(is_expanded).add(overrides.size());
  for (const WeightOverride& change : overrides) {
    hash.add(change.first_layer).add(change.last_layer).add(change.part.has_value());
    hash.add(change.part.value_or(WeightPart::Rest)).add(change.weights.element);
    add(hash, change.weights.format);
  }
  return hash.value();
}

Precision with_scales(Precision precision) {
  if (precision.weights != ElementType::Fp8E4m3) return precision;
  const formats::QuantFormat& format =
      formats::find_quant_format(precision.block_scaled ? "fp8_block" : "fp8");
  const bool is_narrow = bytes_of(precision.activations) == 1;
  precision.weights = is_narrow ? ElementType::Bfloat16 : precision.activations;
  precision.weight_format = &format;
  if (precision.block_scaled) {
    precision.block_scaled = false;
    precision.activation_format = &formats::find_quant_format("fp8_group");
    return precision;
  }
  for (const WeightPart part : {WeightPart::Head, WeightPart::Embedding}) {
    WeightOverride table;
    table.part = part;
    table.weights = {precision.weights, &format};
    precision.overrides.insert(precision.overrides.begin(), table);
  }
  return precision;
}

Precision expanded_to(Precision precision, ElementType type) {
  precision.weights = type;
  precision.activation_format = nullptr;
  precision.is_expanded = true;
  return precision;
}

namespace {

std::string name_of(const WeightStorage& storage) {
  return std::string(storage.format == nullptr ? name_of(storage.element) : storage.format->name);
}

std::string text_of(const WeightOverride& change) {
  std::string text;
  if (!change.names_all_layers()) {
    text += "layers " + std::to_string(change.first_layer) + "-" +
            std::to_string(change.last_layer) + " ";
  }
  if (change.part) text += std::string(name_of(*change.part)) + " ";
  return text + name_of(change.weights);
}

}  // namespace

std::string formats_text(const Precision& precision) {
  std::string text = name_of(WeightStorage{
      precision.weights,
      precision.block_scaled ? &formats::find_quant_format("fp8_block") : precision.weight_format});
  for (std::size_t i = 0; i < precision.overrides.size(); ++i) {
    text += (i == 0 ? " (" : ", ") + text_of(precision.overrides[i]);
  }
  if (!precision.overrides.empty()) text += ")";
  if (precision.is_expanded) text += ", held as " + std::string(name_of(precision.weights));
  const formats::QuantFormat* rows = precision.block_scaled
                                         ? &formats::find_quant_format("fp8_group")
                                         : precision.activation_format;
  if (rows != nullptr) return text + " x " + std::string(rows->name);
  return text + " x " + std::string(name_of(precision.activations));
}

std::int64_t stored_bytes(const TensorSpec& tensor, const WeightStorage& storage) {
  if (storage.format == nullptr) return tensor.elements() * bytes_of(storage.element);
  const std::size_t rank = tensor.shape.size();
  const std::int64_t columns = tensor.shape.back();
  const std::int64_t rows = rank < 2 ? 1 : tensor.shape[rank - 2];
  const std::int64_t matrices = rank < 3 ? 1 : tensor.shape.front();
  return matrices * formats::storage_bytes(*storage.format, rows, columns);
}

}  // namespace tandem
