// What is computed: a decoder as a list of layers, each a token mixer and a feed-forward block. No
// hardware in here; every count is derived from these numbers (sim/describe/tensors.hpp).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "sim/numerics/ops/activation.hpp"
#include "sim/numerics/ops/attention.hpp"
#include "sim/numerics/ops/gated_delta.hpp"
#include "sim/numerics/ops/latent_attention.hpp"
#include "sim/numerics/ops/rope.hpp"
#include "sim/numerics/ops/router.hpp"

namespace tandem {

using ops::ActivationKind;
using ops::RopeLayout;

enum class NormKind : std::uint8_t { Rms, Layer };

/// Normalisation of hidden states.
struct Norm {
  NormKind kind = NormKind::Rms;
  bool one_plus_weight = false;  ///< y = (1 + w) x / rms(x): Gemma, Qwen3-Next, Qwen3.5
  double epsilon = 1e-5;
  bool operator==(const Norm&) const = default;
};

/// RMSNorm of queries and keys before rotation.
enum class QkNorm : std::uint8_t {
  None,
  PerHead,   ///< over head_dim, one weight for all heads
  AllHeads,  ///< over the concatenated heads, before they are split (MiniMax M2)
};

/// Grouped-query attention over all tokens or a window of them (shape.window).
struct GroupedAttention {
  ops::AttentionShape shape;
  std::optional<ops::Rope> rope;  ///< none: no rotation
  QkNorm qk_norm = QkNorm::None;
  bool output_gate = false;  ///< out * sigmoid(gate) per element; q_proj makes q and gate
  bool sinks = false;        ///< a learned logit per head in the softmax
  bool qkv_bias = false;
  bool output_bias = false;
  bool keys_are_values = false;  ///< one projection serves both (Gemma 4's global layers)
  bool value_norm = false;       ///< RMSNorm of values without a weight (Gemma 4)
  [[nodiscard]] std::int64_t q_width() const { return shape.heads * shape.head_dim; }
  [[nodiscard]] std::int64_t kv_width() const { return shape.kv_heads * shape.head_dim; }
  bool operator==(const GroupedAttention&) const = default;
};

/// Multi-head latent attention, with the indexer of sparse attention where the model has one.
struct LatentAttention {
  ops::LatentShape shape;
  ops::Rope rope;
  std::optional<ops::IndexerShape> indexer;
  bool operator==(const LatentAttention&) const = default;
};

/// Gated DeltaNet; q, k, v, z, a and b are projected from the hidden state.
struct GatedDelta {
  ops::GatedDeltaShape shape;
  bool operator==(const GatedDelta&) const = default;
};

/// The token mixer runs on other chips: a layer is its feed-forward half, norm and residual
/// included.
struct MixerElsewhere {
  bool operator==(const MixerElsewhere&) const = default;
};

using Mixer = std::variant<GroupedAttention, LatentAttention, GatedDelta, MixerElsewhere>;

/// A mixture of experts: each a feed-forward block of its own.
struct Experts {
  ops::Router router;                    ///< how many there are and how many a token takes
  std::int64_t intermediate = 0;         ///< width of one routed expert
  std::int64_t shared = 0;               ///< experts that every token takes
  std::int64_t shared_intermediate = 0;  ///< width of all shared experts together
  bool shared_gate = false;              ///< their output times sigmoid(w . x)
  bool bias = false;                     ///< biases on the experts' projections
  bool router_norm = false;              ///< the router sees RMSNorm(x) w / sqrt(hidden) (Gemma 4)
  bool expert_scale = false;             ///< a learned factor per expert on its weight (Gemma 4)
  std::int64_t held = 0;  ///< routed experts on the chip where a gang shares them; 0: all
  [[nodiscard]] std::int64_t count() const { return held > 0 ? held : router.experts; }
  bool operator==(const Experts&) const = default;
};

/// The second half of a layer: a dense block, experts, both side by side (Gemma 4), or neither
/// where it runs on other chips.
struct FeedForward {
  std::int64_t intermediate = 0;  ///< width of the dense block; 0: none
  bool gated = true;              ///< down(act(gate x) * up x); else down(act(up x))
  bool bias = false;              ///< biases on the dense block's projections
  ActivationKind activation = ActivationKind::Silu;
  std::optional<Experts> experts;
  [[nodiscard]] bool is_elsewhere() const { return intermediate == 0 && !experts; }
  bool operator==(const FeedForward&) const = default;
};

/// One kind of decoder layer: x + mixer(norm(x)), then x + ffn(norm(x)).
struct LayerKind {
  Mixer mixer;
  FeedForward ffn;
  bool post_norms = false;  ///< also normalises what each half adds (Gemma)
  [[nodiscard]] bool has_mixer() const { return !std::holds_alternative<MixerElsewhere>(mixer); }
  bool operator==(const LayerKind&) const = default;
};

/// Modules that predict further tokens: h' = W [norm(embedding(next)); norm(h)], one layer of
/// `kind`, then the model's own head (DeepSeek-V3, arXiv 2412.19437, section 2.2).
struct MultiTokenPrediction {
  std::int64_t modules = 0;
  std::int32_t kind = 0;  ///< index into NeuralNetwork::kinds
  bool operator==(const MultiTokenPrediction&) const = default;
};

/// A decoder.
struct NeuralNetwork {
  std::string name;
  std::string source;  ///< where the numbers come from
  std::int64_t hidden = 0;
  std::int64_t vocabulary = 0;
  std::int64_t max_context = 0;
  bool tied_embeddings = false;
  bool learned_positions = false;  ///< a table [max_context, hidden] added to the embedding (GPT-3)
  double embedding_scale = 1;      ///< Gemma: sqrt(hidden)
  double final_softcap = 0;        ///< of the logits; 0: none
  Norm norm;
  std::vector<LayerKind> kinds;       ///< the distinct layers
  std::vector<std::int32_t> pattern;  ///< per layer its index in `kinds`
  MultiTokenPrediction mtp;
  /// A module of multi-token prediction by itself: two norms and a product that join each token's
  /// embedding with a hidden state stand before its layer. Embedding and head are another model's.
  bool joins_hidden = false;
  std::string checkpoint_format;  ///< element formats of the published weights, as a name

  [[nodiscard]] std::int64_t layers() const { return static_cast<std::int64_t>(pattern.size()); }
  [[nodiscard]] const LayerKind& layer(std::int64_t index) const {
    return kinds[static_cast<std::size_t>(pattern[static_cast<std::size_t>(index)])];
  }
  bool operator==(const NeuralNetwork&) const = default;
};

/// The halves of decoder layers where they run on different chips: token mixer, feed-forward block.
enum class LayerHalf : std::uint8_t { First, Second };

/// The network with one half of every layer, for the chips that run that half. Modules of
/// multi-token prediction are left out.
[[nodiscard]] NeuralNetwork half_of(const NeuralNetwork& network, LayerHalf half);

/// A module of multi-token prediction as a network of one layer. Throws ModelError for a network
/// that has none.
[[nodiscard]] NeuralNetwork module_of(const NeuralNetwork& network);
/// Whether a layer keeps a state that takes tokens in and cannot give them back.
[[nodiscard]] bool has_recurrent_state(const NeuralNetwork& network);

/// K and V elements that a token leaves in a layer's cache; 0 where its state does not grow.
/// Layers with a window count as well: they hold at most `window` tokens of them.
[[nodiscard]] std::int64_t kv_elements_per_token(const LayerKind& kind);
/// Elements of the indexer's key that a token leaves beside them; 0 without sparse attention.
[[nodiscard]] std::int64_t index_elements_per_token(const LayerKind& kind);
/// Tokens that a layer's cache can hold at most: its window, or 0 for no limit.
[[nodiscard]] std::int64_t cache_window(const LayerKind& kind);
/// Letter of a layer in patterns: L gated delta, F full or latent attention, S sliding window.
[[nodiscard]] char letter_of(const LayerKind& kind);
/// Content key: equal for networks that compute the same.
[[nodiscard]] std::uint64_t key_of(const NeuralNetwork& network);

}  // namespace tandem
