// Formats of numbers of a pool.
#include <fmt/format.h>

#include <charconv>

#include "sim/config/build.hpp"

namespace tandem::config {
namespace {

using formats::QuantFormat;

const std::vector<std::pair<std::string, ElementType>> element_names = {
    {"bfloat16", ElementType::Bfloat16},
    {"float16", ElementType::Float16},
    {"float32", ElementType::Float32},
    {"fp8", ElementType::Fp8E4m3},
    {"int8", ElementType::Int8}};

const ElementType* find_element(const std::string& word) {
  for (const auto& [name, type] : element_names) {
    if (name == word) return &type;
  }
  return nullptr;
}

/// Reads `precision` and its overrides; what the keys say together is checked at the end.
class PrecisionReader {
 public:
  PrecisionReader(const Tree& tree, ReadContext& context)
      : reader_(tree, precision_section(), "precision", context), context_(context) {}

  Precision read() {
    const std::size_t before = context_.problems.size();
    read_activations();
    read_kv_cache();
    read_weights();
    read_overrides();
    if (context_.problems.size() == before) check();
    if (reader_.choice_word("expand") == "load" && precision_.has_formats()) {
      precision_ = expanded_to(precision_, precision_.activations);
    }
    return precision_;
  }

 private:
  void read_activations() {
    const std::string word = reader_.choice_word("activations");
    const ElementType* element = find_element(word);
    if (element != nullptr && *element != ElementType::Int8) {
      precision_.activations = *element;
    } else {
      precision_.activation_format = &formats::find_quant_format(word);
    }
  }

  void read_kv_cache() {
    const std::string word = reader_.choice_word("kv_cache");
    if (const ElementType* element = find_element(word)) {
      precision_.kv_cache = *element;
      return;
    }
    precision_.kv_format = formats::find_kv_format(word);
    const bool is_narrow = bytes_of(precision_.activations) == 1;
    precision_.kv_cache = is_narrow ? ElementType::Bfloat16 : precision_.activations;
  }

  void read_weights() {
    const std::string word = reader_.choice_word("weights");
    const bool is_alone = precision_.activation_format == nullptr && !reader_.has("overrides") &&
                          reader_.choice_word("expand") == "kernel";
    if (word == "fp8_block" && is_alone) {
      precision_.weights = ElementType::Fp8E4m3;
      precision_.block_scaled = true;
      return;
    }
    const bool is_expanded = reader_.choice_word("expand") == "load";
    if (word == "fp8_block" && precision_.activation_format == nullptr && !is_expanded) {
      precision_.activation_format = &formats::find_quant_format("fp8_group");
    }
    const WeightStorage storage = storage_of(word);
    precision_.weights = storage.element;
    precision_.weight_format = storage.format;
  }

  /// fp8 is elements with a factor for the whole matrix, which plain products take; with quantised
  /// rows it is a format like the others.
  [[nodiscard]] WeightStorage storage_of(const std::string& word) const {
    const ElementType* element = find_element(word);
    const bool is_format = element == nullptr || *element == ElementType::Int8 ||
                           (word == "fp8" && precision_.activation_format != nullptr);
    if (!is_format) return {*element, nullptr};
    return {precision_.activations, &formats::find_quant_format(word)};
  }

  void read_overrides() {
    const Tree* list = reader_.child("overrides");
    if (list == nullptr || list->is_null()) return;
    if (!list->is_sequence()) {
      context_.problems.report(list->place,
                               "'overrides' is a list, e.g. [{layers: 0-1, weights: fp8_channel}, "
                               "{part: experts, weights: mxfp4}]");
      return;
    }
    for (const Tree& item : list->items) read_override(item);
  }

  void read_override(const Tree& item) {
    const MapReader reader(item, weight_override_section(), "override of precision", context_);
    if (!item.is_map()) return;
    WeightOverride change;
    if (reader.has("layers")) read_layers(reader, change);
    const std::string part = reader.choice_word("part");
    for (const WeightPart candidate : weight_parts) {
      if (part == name_of(candidate)) change.part = candidate;
    }
    const bool is_outside = change.part == WeightPart::Head || change.part == WeightPart::Embedding;
    if (is_outside && reader.has("layers")) {
      reader.report("layers", fmt::format("'{}' is not in a layer; leave 'layers' out", part));
    }
    change.weights = storage_of(reader.choice_word("weights"));
    check_pair(reader, change.weights.format);
    precision_.overrides.push_back(change);
  }

  static void read_layers(const MapReader& reader, WeightOverride& change) {
    const std::string text = reader.text("layers");
    const char* end = text.data() + text.size();
    const auto first = std::from_chars(text.data(), end, change.first_layer);
    bool is_right = first.ec == std::errc{} && change.first_layer >= 0;
    change.last_layer = change.first_layer;
    if (is_right && first.ptr != end) {
      const auto last = std::from_chars(first.ptr + 1, end, change.last_layer);
      is_right = *first.ptr == '-' && last.ec == std::errc{} && last.ptr == end;
    }
    if (is_right && change.first_layer <= change.last_layer) return;
    reader.report("layers", fmt::format("'layers' is a layer or a range that ascends, e.g. '3' or "
                                        "'0-3'; got '{}'",
                                        text));
  }

  /// Products of codes need codes on both sides, and no zero points.
  void check_pair(const MapReader& reader, const QuantFormat* weights) const {
    if (weights == nullptr) return;
    if (precision_.activations == ElementType::Fp8E4m3) {
      reader.report("weights",
                    fmt::format("weights in {} take rows with scales of their own; write "
                                "'activations: fp8_channel' (a scale per token) or "
                                "'activations: bfloat16'",
                                weights->name));
    }
    if (precision_.activation_format != nullptr && !has_common_pipe(*weights)) {
      const bool is_int8 = weights->code == formats::CodeType::Int8;
      reader.report("weights", fmt::format("no pipe takes codes of {} with rows in {}; write "
                                           "'activations: {}' or 'bfloat16'",
                                           weights->name, precision_.activation_format->name,
                                           is_int8 ? "int8" : "fp8_channel"));
      return;
    }
    if (weights->has_zero_point() && precision_.activation_format != nullptr) {
      reader.report(
          "weights",
          fmt::format("codes of {} have zero points and are not multiplied with quantised "
                      "rows; write 'activations: bfloat16'",
                      weights->name));
    }
  }

  /// Integers up to 8 are numbers of e4m3; those of int8 are not, nor is any float an integer.
  [[nodiscard]] bool has_common_pipe(const QuantFormat& weights) const {
    using formats::CodeType;
    const bool is_float = weights.code == CodeType::Fp8E4m3 || weights.code == CodeType::Fp8E5m2 ||
                          weights.code == CodeType::E2m1;
    const bool rows_are_int8 = precision_.activation_format->code == CodeType::Int8;
    return rows_are_int8 ? !is_float : weights.code != CodeType::Int8;
  }

  void check() const {
    check_pair(reader_, precision_.weight_format);
    if (precision_.activation_format != nullptr && reader_.choice_word("expand") == "load") {
      reader_.report(
          "expand",
          fmt::format("weights that are expanded when they are loaded are multiplied with "
                      "rows as they are; write 'activations: bfloat16' or 'float16' "
                      "instead of '{}'",
                      precision_.activation_format->name));
    }
    if (precision_.activation_format == nullptr || precision_.has_formats()) return;
    reader_.report("activations",
                   fmt::format("'activations: {}' quantises rows before products of weights in a "
                               "format, and the weights are {}; write e.g. 'weights: {}'",
                               reader_.choice_word("activations"), reader_.choice_word("weights"),
                               precision_.activation_format->name));
  }

  MapReader reader_;
  ReadContext& context_;
  Precision precision_;
};

}  // namespace

Precision build_precision(const Tree* tree, ReadContext& context) {
  if (tree == nullptr || tree->is_null()) return {};
  PrecisionReader reader(*tree, context);
  if (!tree->is_map()) return {};
  return reader.read();
}

}  // namespace tandem::config
