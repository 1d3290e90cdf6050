// Moves values from a config.json to the keys of a `kind: model` file.
#pragma once

#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "sim/config/tree.hpp"

namespace tandem::config {

/// One config.json and the model made from it. Paths of model keys are dotted: "attention.heads".
///
/// Contract: `config` and `problems` outlive the translation; a key that holds null counts as left
/// out; every complaint names the key as the config has it.
class Translation {
 public:
  /// `root` holds the keys that a nested text_config leaves out, such as tie_word_embeddings.
  Translation(const Tree& config, const Tree& root, std::string model_type, Problems& problems);

  [[nodiscard]] const std::string& model_type() const { return model_type_; }
  /// The value of a key, in the text_config or above it; null when left out.
  [[nodiscard]] const Tree* find(std::string_view key) const;
  [[nodiscard]] bool has(std::string_view key) const { return find(key) != nullptr; }
  [[nodiscard]] std::string text(std::string_view key, const std::string& fallback) const;
  [[nodiscard]] bool flag(std::string_view key, bool fallback) const;
  /// A plain number; complains and gives `fallback` where the key holds something else.
  [[nodiscard]] double number(std::string_view key, double fallback) const;
  /// The same of a key of a nested map, which may be null.
  [[nodiscard]] double number_in(const Tree* map, std::string_view key, double fallback) const;

  /// The model's `path` is the config's `key`, which must be there.
  void take(const std::string& path, std::string_view key);
  /// The same, with a value for configs that leave it out.
  void take_or(const std::string& path, std::string_view key, const std::string& fallback);
  /// The model's `path` is the config's `key` where that is written.
  void take_if(const std::string& path, std::string_view key);
  /// The model's `path` is `value`, which follows from `key`, or from the architecture.
  void set(const std::string& path, const std::string& value, std::string_view key = {});
  void set(const std::string& path, double value, std::string_view key = {});
  /// The model's `path` is a value of the config.
  void put(const std::string& path, const Tree& value);
  /// Complains unless `key` is left out, false, or one of `allowed`.
  void allow(std::string_view key, std::initializer_list<std::string_view> allowed);
  /// Complains about a key that is written, with the reason.
  void refuse(std::string_view key, const std::string& reason);
  /// Complains that the config needs a key.
  void need(std::string_view key);
  [[nodiscard]] Tree take_model() { return std::move(model_); }
  [[nodiscard]] Problems& problems() { return problems_; }
  [[nodiscard]] SourcePlace place() const { return config_.place; }

 private:
  Tree& slot(const std::string& path, const SourcePlace& place);

  const Tree& config_;
  const Tree& root_;
  Problems& problems_;
  std::string model_type_;
  Tree model_;
};

/// What all decoders share: widths, vocabulary, context, activation, norm, checkpoint format.
void translate_outside(Translation& t);
/// Heads and biases into `section`. `head_dim`: of configs that leave it out; 0: hidden / heads.
void translate_heads(Translation& t, const std::string& section, double head_dim = 0);
/// A rope section at `path` from keys of the model or from `parameters`, a map such as
/// rope_parameters. `theta`: of configs that leave it out; null: they must not.
void translate_rope(Translation& t, const std::string& path, const Tree* parameters,
                    const char* theta = nullptr);
/// The map that holds rope's keys in recent configs; null in others.
[[nodiscard]] const Tree* rope_parameters(const Translation& t);
/// Complains unless the list under `key`, where it is written, has one entry per layer.
void check_layer_list(Translation& t, const char* key);
/// Letters of the list layer_types; nothing where it is left out.
[[nodiscard]] std::optional<std::string> pattern_of(Translation& t);
/// Every n-th layer is `last`, the others `other`; no longer than there are layers.
[[nodiscard]] std::string interval_pattern(const Translation& t, double n, char other, char last);

// Architectures, by family.
void translate_llama(Translation& t);
void translate_mixtral(Translation& t);
void translate_qwen2(Translation& t);
void translate_qwen3(Translation& t);
void translate_qwen3_moe(Translation& t);
void translate_qwen3_next(Translation& t);
void translate_deepseek(Translation& t);
void translate_minimax(Translation& t);
void translate_gpt_oss(Translation& t);
void translate_gpt2(Translation& t);
void translate_gemma2(Translation& t);
void translate_gemma3(Translation& t);
void translate_gemma4(Translation& t);

}  // namespace tandem::config
