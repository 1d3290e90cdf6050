// Parts of a config.json that architectures share.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "sim/config/hugging_face_translation.hpp"
#include "sim/config/unit_text.hpp"

namespace tandem::config {
namespace {

struct Word {
  std::string_view theirs;
  const char* ours;
};

/// Names of activations; ours is null where there is none.
const char* activation_of(const std::string& name) {
  constexpr std::array words = {Word{"silu", "silu"}, Word{"swish", "silu"}, Word{"gelu", "gelu"},
                                Word{"gelu_new", "gelu_tanh"},
                                Word{"gelu_pytorch_tanh", "gelu_tanh"}};
  for (const Word& word : words) {
    if (word.theirs == name) return word.ours;
  }
  return nullptr;
}

void translate_activation(Translation& t) {
  for (const char* key : {"hidden_activation", "hidden_act", "activation_function"}) {
    if (!t.has(key)) continue;
    if (const char* ours = activation_of(t.text(key, ""))) {
      t.set("activation", ours, key);
    } else {
      t.refuse(key, "known are silu, gelu, gelu_new and gelu_pytorch_tanh");
    }
    return;
  }
}

bool is_block_128(const Tree& quantization) {
  const Tree* block = quantization.find("weight_block_size");
  return block != nullptr && block->items.size() == 2 && block->items[0].text == "128" &&
         block->items[1].text == "128";
}

/// The weights of the first group of compressed-tensors are int4 by groups of 32.
bool is_int4_group32(const Tree& quantization) {
  const Tree* groups = quantization.find("config_groups");
  if (groups == nullptr || groups->entries.empty()) return false;
  const Tree* weights = groups->entries.front().value.find("weights");
  const auto is = [&](const char* key, const char* value) {
    const Tree* found = weights == nullptr ? nullptr : weights->find(key);
    return found != nullptr && found->text == value;
  };
  return is("num_bits", "4") && is("group_size", "32") && is("type", "int");
}

void translate_format(Translation& t) {
  const Tree* quantization = t.find("quantization_config");
  if (quantization == nullptr) {
    t.take_if("checkpoint_format", t.has("dtype") ? "dtype" : "torch_dtype");
    return;
  }
  const Tree* method = quantization->find("quant_method");
  const std::string name = method == nullptr ? std::string{} : method->text;
  if (name == "fp8" && is_block_128(*quantization)) {
    t.set("checkpoint_format", "fp8_e4m3_block128x128", "quantization_config");
  } else if (name == "mxfp4") {
    t.set("checkpoint_format", "mxfp4_experts", "quantization_config");
  } else if (name == "compressed-tensors" && is_int4_group32(*quantization)) {
    t.set("checkpoint_format", "int4_group32_experts", "quantization_config");
  } else {
    t.refuse("quantization_config",
             "known are fp8 by blocks of 128 x 128, mxfp4, and int4 by groups of 32");
  }
}

/// Copies a key of a nested map; without a fallback it must be there.
void copy(Translation& t, const Tree& map, const std::string& path, const char* key,
          const char* fallback = nullptr) {
  const Tree* found = map.find(key);
  if (found != nullptr && found->is_scalar()) {
    t.put(path, *found);
  } else if (fallback != nullptr) {
    t.set(path, fallback);
  } else {
    t.problems().report(map.place, fmt::format("rope scaling needs the key '{}'", key));
  }
}

void translate_yarn(Translation& t, const std::string& path, const Tree& scaling) {
  copy(t, scaling, path + ".original_context", "original_max_position_embeddings");
  copy(t, scaling, path + ".beta_fast", "beta_fast", "32");
  copy(t, scaling, path + ".beta_slow", "beta_slow", "1");
  copy(t, scaling, path + ".truncate", "truncate", "true");
  // modeling_rope_utils.py, _compute_yarn_parameters(): cosine and sine take m(1) where the two
  // factors are not both written.
  const bool has_both =
      scaling.find("mscale") != nullptr && scaling.find("mscale_all_dim") != nullptr;
  copy(t, scaling, path + ".mscale", has_both ? "mscale" : "", "1");
  copy(t, scaling, path + ".mscale_all", has_both ? "mscale_all_dim" : "", "0");
  const Tree* factor = scaling.find("attention_factor");
  if (factor != nullptr && !factor->is_null()) {
    t.problems().report(factor->place, "'attention_factor' of yarn is not supported");
  }
}

void translate_scaling(Translation& t, const std::string& rope, const Tree& scaling) {
  const Tree* type = scaling.find("rope_type");
  if (type == nullptr) type = scaling.find("type");
  const std::string kind = type == nullptr ? "default" : type->text;
  if (kind == "default" || kind == "mrope") return;
  if (kind == "proportional") {
    t.set(rope + ".partial", "proportional");
    return;
  }
  const std::string path = rope + ".scaling";
  if (kind != "linear" && kind != "llama3" && kind != "yarn") {
    t.problems().report(type->place, fmt::format("rope type '{}' is not supported; supported: "
                                                 "default, linear, llama3, yarn",
                                                 kind));
    return;
  }
  t.set(path + ".kind", kind);
  copy(t, scaling, path + ".factor", "factor");
  if (kind == "yarn") translate_yarn(t, path, scaling);
  if (kind != "llama3") return;
  copy(t, scaling, path + ".low_frequency_factor", "low_freq_factor");
  copy(t, scaling, path + ".high_frequency_factor", "high_freq_factor");
  copy(t, scaling, path + ".original_context", "original_max_position_embeddings");
}

}  // namespace

void translate_outside(Translation& t) {
  t.take("layers", "num_hidden_layers");
  t.take("hidden", "hidden_size");
  t.take("vocabulary", "vocab_size");
  t.take("max_context", "max_position_embeddings");
  t.take_if("tied_embeddings", "tie_word_embeddings");
  t.take("norm.epsilon", "rms_norm_eps");
  translate_activation(t);
  translate_format(t);
}

void translate_heads(Translation& t, const std::string& section, double head_dim) {
  t.take(section + ".heads", "num_attention_heads");
  const bool may_leave_out = t.model_type() == "llama";  // of before grouped queries
  t.take(section + ".kv_heads", may_leave_out && !t.has("num_key_value_heads")
                                    ? "num_attention_heads"
                                    : "num_key_value_heads");
  const double heads = t.number("num_attention_heads", 1);
  if (t.has("head_dim")) {
    t.take(section + ".head_dim", "head_dim");
  } else if (head_dim > 0) {
    t.set(section + ".head_dim", head_dim);
  } else if (heads > 0) {
    t.set(section + ".head_dim", t.number("hidden_size", heads) / heads, "hidden_size");
  }
  t.take_if(section + ".qkv_bias", "attention_bias");
  t.take_if(section + ".output_bias", "attention_bias");
}

const Tree* rope_parameters(const Translation& t) {
  return t.find("rope_parameters");
}

void translate_rope(Translation& t, const std::string& path, const Tree* parameters,
                    const char* theta) {
  const Tree* nested = parameters == nullptr ? nullptr : parameters->find("rope_theta");
  if (nested != nullptr) {
    t.put(path + ".theta", *nested);
  } else if (t.has("rope_theta") || theta == nullptr) {
    t.take(path + ".theta", "rope_theta");
  } else {
    t.set(path + ".theta", theta);
  }
  const Tree* scaling = parameters != nullptr ? parameters : t.find("rope_scaling");
  if (scaling != nullptr) translate_scaling(t, path, *scaling);
}

void check_layer_list(Translation& t, const char* key) {
  const Tree* list = t.find(key);
  if (list == nullptr) return;
  if (!list->is_sequence()) {
    t.problems().report(list->place, fmt::format("'{}' needs a list, one entry per layer", key));
    return;
  }
  const ParsedNumber layers = parse_number(t.text("num_hidden_layers", ""), Dimension::Count);
  if (!layers.is_good() || static_cast<double>(list->items.size()) == layers.value) return;
  t.problems().report(list->place,
                      fmt::format("'{}' has {} entries; 'num_hidden_layers' is {}: write one entry "
                                  "per layer",
                                  key, list->items.size(), layers.value));
}

std::string interval_pattern(const Translation& t, double n, char other, char last) {
  const bool is_sensible = n >= 1 && n <= 1000;
  const std::string period =
      std::string(is_sensible ? static_cast<std::size_t>(n) - 1 : 0, other) + last;
  const ParsedNumber layers = parse_number(t.text("num_hidden_layers", ""), Dimension::Count);
  const bool is_short =
      layers.is_good() && layers.value >= 1 && layers.value < static_cast<double>(period.size());
  return is_short ? period.substr(0, static_cast<std::size_t>(layers.value)) : period;
}

std::optional<std::string> pattern_of(Translation& t) {
  const Tree* types = t.find("layer_types");
  if (types == nullptr) return std::nullopt;
  check_layer_list(t, "layer_types");
  std::string letters;
  for (const Tree& type : types->items) {
    const char letter = type.text == "full_attention"      ? 'F'
                        : type.text == "sliding_attention" ? 'S'
                        : type.text == "linear_attention"  ? 'L'
                                                           : ' ';
    if (letter == ' ') {
      t.problems().report(type.place,
                          fmt::format("layers of type '{}' are not supported", type.text));
    } else {
      letters += letter;
    }
  }
  return letters;
}

}  // namespace tandem::config
