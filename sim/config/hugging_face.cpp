#include "sim/config/hugging_face.hpp"

#include <fmt/format.h>

#include <array>
#include <string>
#include <vector>

#include "sim/config/hugging_face_translation.hpp"
#include "sim/config/unit_text.hpp"

namespace tandem::config {
namespace {

struct Architecture {
  std::string_view model_type;
  void (*translate)(Translation&);
};

constexpr std::array architectures = {
    Architecture{"deepseek_v2", translate_deepseek},
    Architecture{"deepseek_v3", translate_deepseek},
    Architecture{"deepseek_v32", translate_deepseek},
    Architecture{"gemma2", translate_gemma2},
    Architecture{"gemma3", translate_gemma3},
    Architecture{"gemma3_text", translate_gemma3},
    Architecture{"gemma4", translate_gemma4},
    Architecture{"gemma4_text", translate_gemma4},
    Architecture{"gpt2", translate_gpt2},
    Architecture{"gpt_oss", translate_gpt_oss},
    Architecture{"kimi_k2", translate_deepseek},
    Architecture{"kimi_k25", translate_deepseek},
    Architecture{"llama", translate_llama},
    Architecture{"minimax", translate_minimax},
    Architecture{"minimax_m2", translate_minimax},
    Architecture{"mistral", translate_llama},
    Architecture{"mixtral", translate_mixtral},
    Architecture{"qwen2", translate_qwen2},
    Architecture{"qwen3", translate_qwen3},
    Architecture{"qwen3_5", translate_qwen3_next},
    Architecture{"qwen3_5_moe", translate_qwen3_next},
    Architecture{"qwen3_5_moe_text", translate_qwen3_next},
    Architecture{"qwen3_5_text", translate_qwen3_next},
    Architecture{"qwen3_moe", translate_qwen3_moe},
    Architecture{"qwen3_next", translate_qwen3_next},
};

const Architecture* find_architecture(const Tree* model_type) {
  if (model_type == nullptr) return nullptr;
  for (const Architecture& known : architectures) {
    if (known.model_type == model_type->text) return &known;
  }
  return nullptr;
}

void report_unknown(const Tree& config, Problems& problems) {
  std::vector<std::string> known;
  for (const Architecture& architecture : architectures) {
    known.emplace_back(architecture.model_type);
  }
  const Tree* model_type = config.find("model_type");
  if (model_type == nullptr) {
    problems.report(config.place, fmt::format("a config.json needs the key 'model_type', one of {}",
                                              fmt::join(known, ", ")));
    return;
  }
  if (!model_type->is_scalar()) {
    problems.report(model_type->place,
                    fmt::format("'model_type' must be a text, one of {}", fmt::join(known, ", ")));
    return;
  }
  problems.report(model_type->place,
                  fmt::format("model_type '{}' is not known{}; known are {}", model_type->text,
                              suggestion(model_type->text, known), fmt::join(known, ", ")));
}

/// Keys of other architectures that would change the mathematics of any of those known here.
constexpr std::array foreign_keys = {
    "alibi",          "attention_chunk_size", "attention_multiplier", "clip_qkv",
    "logit_scale",    "embedding_multiplier", "logits_scaling",       "parallel_attn",
    "no_rope_layers", "residual_multiplier",  "use_parallel_residual"};

/// Number of a key, where it has one.
std::optional<double> number_of(const Tree& model, const char* key) {
  const Tree* found = model.find(key);
  if (found == nullptr || !found->is_scalar()) return std::nullopt;
  const ParsedNumber parsed = parse_number(found->text, Dimension::Count);
  return parsed.is_good() ? std::optional(parsed.value) : std::nullopt;
}

/// Takes out what no layer uses: a config has the sizes of every kind of layer of its architecture,
/// where it has only a few layers too.
void drop_unused(Tree& model) {
  const Tree* pattern = model.find("pattern");
  const std::string letters = pattern == nullptr ? "F" : pattern->text;
  const auto has = [&](char letter) { return letters.find(letter) != std::string::npos; };
  if (!has('L')) model.remove("gated_delta");
  if (!has('S')) model.remove("sliding_attention");
  if (!has('S') && !has('F')) {
    model.remove("attention");
    model.remove("rope");
  }
  const auto layers = number_of(model, "layers");
  const auto dense = number_of(model, "dense_layers");
  // A module of multi-token prediction has experts even where all layers before it are dense.
  if (layers && dense && *dense >= *layers && model.find("mtp") == nullptr) {
    model.remove("experts");
    model.remove("dense_layers");
  }
}

}  // namespace

std::optional<Tree> from_hugging_face(const Tree& config, Problems& problems) {
  const Tree* nested = config.find("text_config");
  const bool has_text = nested != nullptr && nested->is_map();
  const Architecture* architecture =
      has_text ? find_architecture(nested->find("model_type")) : nullptr;
  if (architecture == nullptr) architecture = find_architecture(config.find("model_type"));
  if (architecture == nullptr) {
    report_unknown(config, problems);
    return std::nullopt;
  }
  Translation t(has_text ? *nested : config, config, std::string(architecture->model_type),
                problems);
  for (const char* key : foreign_keys) t.allow(key, {});
  architecture->translate(t);
  Tree model = t.take_model();
  drop_unused(model);
  return model;
}

}  // namespace tandem::config
