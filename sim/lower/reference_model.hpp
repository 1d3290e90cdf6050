// The plain forward pass of any decoder with the reference operators: what every functional run is
// compared with. No chip, no time, no batch. The parts are in sim/lower/reference/.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "sim/lower/reference/decoder_layer.hpp"
#include "sim/lower/weights.hpp"

namespace tandem {

/// Choices that leave the result equal but for rounding, and the format of the arithmetic.
struct ReferenceOptions {
  /// The format of operands. Other than Float32, the weights must hold values of it already: see
  /// weights_in_format().
  ops::Arithmetic arithmetic;
  bool absorbed = false;        ///< forward() and draft() run latent attention absorbed, not naive
  bool chunked_prefill = true;  ///< prefill() runs gated delta layers in chunks
};

/// One sequence through the whole model with its caches and states inside.
class ReferenceModel {
 public:
  /// Keeps a reference: `weights` must outlive the model. Throws ModelError for weights that are
  /// not those of their network or not float32.
  explicit ReferenceModel(const Weights& weights, const ReferenceOptions& options = {});

  /// Runs `token` at `position` and returns the logits [vocabulary] of what follows. `position` is
  /// at most the number of tokens in the caches; what they hold from there on is dropped, which
  /// networks with gated delta layers cannot do but for position 0: take a snapshot().
  /// Throws ModelError for a token outside the vocabulary, a gap, a position past max_context, and
  /// going back where that needs a snapshot; the model is then as before.
  Tensor forward(std::int32_t token, std::int64_t position);
  /// Runs `tokens` after those in the caches, layer by layer: gated delta in chunks and latent
  /// attention in its naive form, as serving systems do. Returns logits [tokens, vocabulary].
  Tensor prefill(std::span<const std::int32_t> tokens);

  /// Tokens in the caches.
  [[nodiscard]] std::int64_t tokens() const { return tokens_; }
  /// Caches of one layer; see LayerState for what they hold by kind of layer.
  [[nodiscard]] std::span<const float> k(std::int64_t layer) const;
  [[nodiscard]] std::span<const float> v(std::int64_t layer) const;
  [[nodiscard]] const reference::LayerState& state(std::int64_t layer) const;
  /// Hidden states of the tokens of the last call as the head sees them, after the final norm:
  /// [tokens of the call, hidden].
  [[nodiscard]] std::span<const float> hidden_states() const { return hidden_; }
  /// The last of them.
  [[nodiscard]] std::span<const float> hidden() const;

  /// What a module of multi-token prediction says.
  struct Draft {
    Tensor logits;              ///< [vocabulary], of what follows the token
    std::vector<float> hidden;  ///< after the module's final norm: input of the next draft
  };
  /// Runs one module: `hidden` is the model's (or a draft's) hidden state at `position`, `token`
  /// the one that follows it. A module has a cache of its own, filled by calls at positions 0, 1,
  /// 2, ... and cut back by calls at earlier ones; forward() leaves it alone. Hidden states go in
  /// after the final norm, as vllm-project/vllm qwen3_next_mtp.py hands them on (equation 21 of
  /// arXiv 2412.19437 leaves it open). Throws ModelError as forward(), and for a module that the
  /// network does not have.
  Draft draft(std::span<const float> hidden, std::int32_t token, std::int64_t position,
              std::int64_t module = 0);
  /// Tokens in a module's cache.
  [[nodiscard]] std::int64_t draft_tokens(std::int64_t module = 0) const;

  /// All that the sequence left behind, to go back to exactly.
  struct Snapshot {
    std::vector<reference::LayerState> layers, modules;
    std::vector<float> hidden;
    std::int64_t tokens = 0;
    std::uint64_t network = 0;  ///< key_of() the network
    bool operator==(const Snapshot&) const = default;
  };
  [[nodiscard]] Snapshot snapshot() const;
  /// Throws ModelError for a snapshot of another network.
  void restore(const Snapshot& snapshot);

 private:
  struct Module {
    std::vector<float> embedding_norm, hidden_norm;  ///< factors: 1 + w where the model stores w
    std::span<const float> combine;
    reference::DecoderLayer layer;
    reference::HiddenNorm final_norm;
  };
  [[nodiscard]] Module module_of(std::int64_t index) const;
  [[nodiscard]] reference::Forms decode_forms() const { return {options_.absorbed, false}; }
  /// Throws ModelError unless the token exists and stands within the context.
  void check(std::int32_t token, std::int64_t position, std::int64_t tokens) const;
  void go_back_to(std::int64_t position);
  void embed(std::int32_t token, std::span<float> out) const;
  Tensor run(std::span<const std::int32_t> tokens, reference::Forms forms);
  void head(std::span<const float> hidden, std::span<float> logits) const;

  const Weights& weights_;
  ReferenceOptions options_;
  std::vector<reference::DecoderLayer> layers_;
  std::vector<Module> modules_;
  reference::HiddenNorm final_norm_;
  std::span<const float> embedding_, positions_, head_;
  std::vector<reference::LayerState> states_, module_states_;
  std::vector<float> hidden_;
  std::int64_t tokens_ = 0;
};

}  // namespace tandem
