// A network: its outside, its distinct layers, and which layer is of which kind.
#include <fmt/format.h>

#include <array>
#include <cmath>
#include <optional>
#include <utility>
#include <vector>

#include "sim/config/build.hpp"
#include "sim/config/build_layers.hpp"
#include "sim/config/check_network.hpp"

namespace tandem::config {
namespace {

std::size_t size_of(std::int64_t count) {
  return static_cast<std::size_t>(count);
}

/// What the layers of a network are made of: the sections that the file has.
class LayerParts {
 public:
  /// `layers`: how many there are; nothing where that could not be read.
  LayerParts(const Tree& tree, const MapReader& reader, std::optional<std::int64_t> layers,
             ReadContext& context)
      : tree_(tree), reader_(reader), context_(context) {
    pattern_ = reader.text("pattern");
    dense_layers_ = reader.count("dense_layers");
    check_pattern(layers);
    built_ = pattern_.substr(0, layers ? size_of(*layers) : pattern_.size());
    check_mixers();
    check_ffn(layers);
    check_activation();
    is_usable_ = context.problems.size() == problems_before_;
    read_mixers();
    read_ffn();
  }
  /// The kinds of all layers and the pattern, kinds in the order in which they first appear.
  /// Nothing where a section that the pattern needs is missing.
  void fill(NeuralNetwork& network, std::int64_t layers) const;

 private:
  [[nodiscard]] const Tree* section(const char* key) const {
    const Tree* found = tree_.find(key);
    return found == nullptr || found->is_null() ? nullptr : found;
  }
  [[nodiscard]] bool has_letter(char letter) const {
    return built_.find(letter) != std::string::npos;
  }
  void check_pattern(std::optional<std::int64_t> layers) const;
  void check_mixers() const;
  void check_ffn(std::optional<std::int64_t> layers) const;
  void check_activation() const;
  void check_used(const char* key, bool is_used, const std::string& why) const {
    if (section(key) != nullptr && !is_used) {
      reader_.report(key, fmt::format("'{}' is never used: {}", key, why));
    }
  }
  void read_mixers();
  void read_ffn();
  [[nodiscard]] LayerKind kind_of(char letter, bool is_dense) const;

  const Tree& tree_;
  const MapReader& reader_;
  ReadContext& context_;
  std::size_t problems_before_ = context_.problems.size();
  std::string pattern_;
  std::string built_;  ///< of the pattern, the letters that a layer has
  std::int64_t dense_layers_ = 0;
  bool is_usable_ = false;
  Mixer full_;
  GroupedAttention sliding_;
  GatedDelta delta_;
  FeedForward dense_;   ///< of the first layers where there are experts, else of all
  FeedForward sparse_;  ///< of the others
};

void LayerParts::check_pattern(std::optional<std::int64_t> layers) const {
  if (pattern_.empty()) reader_.report("pattern", "'pattern' needs at least one letter");
  if (layers && size_of(*layers) < pattern_.size()) {
    reader_.report(
        "pattern",
        fmt::format("'pattern' has {} letters for {} layers; write at most one per layer",
                    pattern_.size(), *layers));
  }
  const std::size_t wrong = pattern_.find_first_not_of("LFS");
  if (wrong == std::string::npos) return;
  reader_.report("pattern",
                 fmt::format("pattern has '{}'; letters are L (gated delta), F (attention over all "
                             "tokens) and S (sliding window)",
                             pattern_[wrong]));
}

void LayerParts::check_mixers() const {
  struct Need {
    char letter;
    const char* section;
  };
  constexpr std::array needs = {Need{'L', "gated_delta"}, Need{'S', "sliding_attention"}};
  for (const Need& need : needs) {
    const bool is_needed = has_letter(need.letter);
    if (is_needed && section(need.section) == nullptr) {
      reader_.report("pattern",
                     fmt::format("layers {} need the key '{}'", need.letter, need.section));
    }
    check_used(need.section, is_needed, fmt::format("no layer is {}", need.letter));
  }
  const bool has_attention = section("attention") != nullptr;
  const bool has_latent = section("latent_attention") != nullptr;
  if (has_letter('F') && !has_attention && !has_latent) {
    reader_.report("pattern", "layers F need the key 'attention' or 'latent_attention'");
  }
  if (has_attention && has_latent) {
    reader_.report("latent_attention", "'attention' and 'latent_attention' exclude each other");
  }
  check_used("attention", has_letter('F') || has_letter('S'), "no layer is F or S");
  check_used("rope", has_letter('F') || has_letter('S'), "no layer is F or S");
  check_used("latent_attention", has_letter('F'), "no layer is F");
  const bool is_positioned =
      section("rope") != nullptr || reader_.text("learned_positions") == "true";
  if ((has_attention || section("sliding_attention") != nullptr) && !is_positioned) {
    reader_.report("attention", "attention needs the key 'rope', or 'learned_positions: true'");
  }
  if (has_latent && section("rope") == nullptr) {
    reader_.report("latent_attention", "latent_attention needs the key 'rope'");
  }
}

void LayerParts::check_ffn(std::optional<std::int64_t> layers) const {
  const Tree* experts = section("experts");
  const bool has_ffn = section("ffn") != nullptr;
  const Tree* beside = experts == nullptr ? nullptr : experts->find("beside_ffn");
  const bool is_beside = beside != nullptr && beside->text == "true";
  if (experts == nullptr && !has_ffn) {
    context_.problems.report(tree_.place, "a model needs the key 'ffn' or 'experts'");
  }
  if (dense_layers_ > 0 && (experts == nullptr || !has_ffn)) {
    reader_.report("dense_layers", "'dense_layers' needs both 'ffn' and 'experts'");
  }
  if (dense_layers_ > 0 && is_beside) {
    reader_.report("dense_layers", "'dense_layers' does not go with 'beside_ffn'");
  }
  if (is_beside && !has_ffn) {
    context_.problems.report(beside->place, "'beside_ffn' needs the key 'ffn'");
  }
  if (layers && dense_layers_ == *layers && has_ffn) {
    check_used("experts", false, fmt::format("'dense_layers' takes all {} layers", *layers));
  }
  check_used("ffn", experts == nullptr || dense_layers_ > 0 || is_beside,
             "there are 'experts'; say 'dense_layers' for the first layers, or 'beside_ffn: true' "
             "in 'experts' for all");
}

void LayerParts::check_activation() const {
  const Tree* ffn = section("ffn");
  const Tree* gated = ffn == nullptr ? nullptr : ffn->find("gated");
  if (gated == nullptr || gated->text != "false") return;
  if (reader_.text("activation") == "clamped_swiglu") {
    context_.problems.report(gated->place,
                             "'activation: clamped_swiglu' needs a gate; leave 'gated' out, or "
                             "write another activation");
  }
}

void LayerParts::read_mixers() {
  const Tree* rope = section("rope");
  const Tree* attention = section("attention");
  if (attention != nullptr) full_ = build_attention(*attention, rope, context_);
  if (const Tree* sliding = section("sliding_attention")) {
    sliding_ = build_sliding_attention(*sliding, attention, rope, context_);
  }
  const Tree* latent = section("latent_attention");
  if (latent != nullptr && rope != nullptr) {
    full_ = build_latent_attention(*latent, *rope, context_);
  }
  if (const Tree* delta = section("gated_delta")) delta_ = build_gated_delta(*delta, context_);
}

void LayerParts::read_ffn() {
  const auto activation = reader_.choice<ActivationKind>(
      "activation", {{"silu", ActivationKind::Silu},
                     {"gelu", ActivationKind::Gelu},
                     {"gelu_tanh", ActivationKind::GeluTanh},
                     {"clamped_swiglu", ActivationKind::ClampedSwiglu}});
  if (const Tree* ffn = section("ffn")) dense_ = build_ffn(*ffn, context_);
  dense_.activation = activation;
  sparse_.activation = activation;
  const Tree* experts = section("experts");
  if (experts == nullptr) {
    sparse_ = dense_;
    return;
  }
  sparse_.experts = build_experts(*experts, context_);
  if (section("ffn") != nullptr && dense_layers_ == 0) {
    sparse_.intermediate = dense_.intermediate;
    sparse_.bias = dense_.bias;
    if (!dense_.gated) reader_.report("ffn", "a block beside experts must be gated, as they are");
  }
}

LayerKind LayerParts::kind_of(char letter, bool is_dense) const {
  LayerKind kind;
  kind.mixer = letter == 'L' ? Mixer{delta_} : letter == 'S' ? Mixer{sliding_} : full_;
  kind.ffn = is_dense ? dense_ : sparse_;
  kind.post_norms = reader_.flag("post_norms");
  return kind;
}

void LayerParts::fill(NeuralNetwork& network, std::int64_t layers) const {
  if (!is_usable_) return;
  std::vector<std::pair<char, bool>> known;
  for (std::int64_t i = 0; i < layers; ++i) {
    const char letter = pattern_[size_of(i) % pattern_.size()];
    const std::pair own{letter, i < dense_layers_};
    std::size_t index = 0;
    while (index < known.size() && known[index] != own) ++index;
    if (index == known.size()) {
      known.push_back(own);
      network.kinds.push_back(kind_of(own.first, own.second));
    }
    network.pattern.push_back(static_cast<std::int32_t>(index));
  }
}

Norm build_norm(const Tree& tree, ReadContext& context) {
  const MapReader reader(tree, norm_section(), "norm", context);
  if (!tree.is_map()) return {};
  Norm norm;
  norm.kind = reader.choice<NormKind>("kind", {{"rms", NormKind::Rms}, {"layer", NormKind::Layer}});
  norm.one_plus_weight = reader.flag("one_plus_weight");
  norm.epsilon = reader.number("epsilon");
  if (norm.one_plus_weight && norm.kind == NormKind::Layer) {
    reader.report("one_plus_weight", "'one_plus_weight' is for 'kind: rms'");
  }
  return norm;
}

void build_mtp(const Tree& tree, NeuralNetwork& network, ReadContext& context) {
  const MapReader reader(tree, mtp_section(), "mtp", context);
  if (!tree.is_map()) return;
  network.mtp.modules = reader.count("modules");
  network.mtp.kind = network.pattern.empty() ? 0 : network.pattern.back();
  if (network.norm.kind != NormKind::Rms) {
    context.problems.report(tree.place,
                            "'mtp' needs RMSNorm; write 'norm: {kind: rms}', or leave 'mtp' out");
  }
}

void read_outside(const MapReader& reader, NeuralNetwork& network, ReadContext& context) {
  network.source = reader.source("source");
  network.hidden = reader.count("hidden");
  network.vocabulary = reader.count("vocabulary");
  network.max_context = reader.count("max_context");
  network.tied_embeddings = reader.flag("tied_embeddings");
  network.learned_positions = reader.flag("learned_positions");
  if (reader.flag("scaled_embeddings")) {
    network.embedding_scale = std::sqrt(static_cast<double>(network.hidden));
  }
  network.final_softcap = reader.number("final_softcap");
  network.checkpoint_format = reader.choice_word("checkpoint_format");
  if (reader.has("norm")) network.norm = build_norm(*reader.child("norm"), context);
}

}  // namespace

NeuralNetwork build_network(const Tree& tree, const std::string& name, ReadContext& context) {
  const MapReader reader(tree, model_section(), fmt::format("model '{}'", name), context);
  NeuralNetwork network;
  network.name = name;
  if (!tree.is_map()) return network;
  read_outside(reader, network, context);
  std::optional<std::int64_t> layers;
  if (const auto written = reader.optional_number("layers")) layers = std::llround(*written);
  const LayerParts parts(tree, reader, layers, context);
  parts.fill(network, layers.value_or(1));
  if (layers && reader.count("dense_layers") > *layers) {
    reader.report("dense_layers",
                  fmt::format("'dense_layers' is more than the {} layers", *layers));
  }
  if (reader.has("mtp")) build_mtp(*reader.child("mtp"), network, context);
  check_size(network, reader);
  return network;
}

}  // namespace tandem::config
