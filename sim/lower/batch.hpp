// One forward pass: which sequences take part, and which part of the model a chip runs.
#pragma once

#include <cstdint>
#include <vector>

#include "sim/describe/scenario.hpp"
#include "sim/lower/sharding.hpp"

namespace tandem {

/// One sequence's share of a forward pass.
struct SequenceSlice {
  std::int64_t request = 0;     ///< identifies the KV of functional runs
  std::int64_t context = 0;     ///< tokens whose KV is already there
  std::int64_t new_tokens = 1;  ///< tokens computed now: 1 in decode, a chunk in prefill
  bool wants_logits = true;     ///< the last new token is sampled from
  std::int64_t group = 0;       ///< attention group of the gang that holds its KV
  /// New tokens before the last that are sampled from too, as drafts are that the pass verifies.
  std::int64_t verified = 0;
  bool in_round = false;  ///< its new tokens are of a round of speculative decoding, not a prompt's
  /// Decoding slices of equal `prefix` attend together to the first `prefix_tokens` of their
  /// contexts, whose KV they share (cascade attention); 0: each for itself.
  std::int64_t prefix = 0;
  std::int64_t prefix_tokens = 0;
  [[nodiscard]] bool is_decode() const { return context > 0 && (new_tokens == 1 || in_round); }
  /// Rows of logits that it needs.
  [[nodiscard]] std::int64_t sampled() const { return wants_logits ? 1 + verified : 0; }
  bool operator==(const SequenceSlice&) const = default;
};

/// The sequences of one forward pass, in a fixed order.
struct Batch {
  std::vector<SequenceSlice> slices;
  [[nodiscard]] std::int64_t tokens() const;
  [[nodiscard]] std::int64_t sampled() const;  ///< rows of logits
  bool operator==(const Batch&) const = default;
};

/// The slices whose attention a group of a gang runs, in their order.
[[nodiscard]] Batch slices_of_group(const Batch& batch, std::int64_t group);

/// A contiguous part of a model that one chip runs, or a gang of chips that share its layers.
/// Counts of bytes and parameters are of the one chip `shard` where the gang is shared rank by
/// rank.
struct Stage {
  NeuralNetwork network;
  Precision precision;
  std::int64_t first_layer = 0;
  std::int64_t layers = 0;
  bool has_embedding = false;
  /// Rows of the LM head on this chip; empty range = none. A stage with a head also has the final
  /// norm.
  std::int64_t head_begin = 0;
  std::int64_t head_end = 0;
  /// Chips of a gang that its chip model runs as a whole; all else counts them together.
  std::int64_t tensor = 1;
  /// This chip's place in a gang whose ranks the engine runs one by one.
  Shard shard;
  /// The hidden rows of all its tokens leave behind the final norm, for modules that predict
  /// further tokens from them; of a stage with a head.
  bool hands_on_hidden = false;
  /// Newest tokens of a request that may be taken back: recurrent layers keep the state in front of
  /// each of them too.
  std::int64_t revocable = 0;
  /// Tokens of the longest request that its chips have room for; 0: as long as those of a batch.
  /// Chips with static schedules lay out KV, programs and vectors of tokens for it.
  std::int64_t longest_request = 0;
  Eviction eviction;  ///< which cached tokens its layers of full attention keep
  [[nodiscard]] bool has_head() const { return head_end > head_begin; }
  /// Rows of the LM head on this chip.
  [[nodiscard]] std::int64_t head_rows() const;
  /// Rows of the embedding table on this chip: attention groups share the vocabulary.
  [[nodiscard]] std::int64_t embedding_rows() const;
  /// Chips that the stage takes.
  [[nodiscard]] std::int64_t chips() const { return tensor * shard.of.ranks(); }
  [[nodiscard]] std::int64_t weight_parameters() const;
  [[nodiscard]] Bytes weight_bytes() const;
  /// KV bytes that one token leaves in this stage's layers, those with a window included.
  [[nodiscard]] Bytes kv_bytes_per_token() const;
  /// What a sequence of `tokens` leaves in this stage's layers: KV, of which layers with a window
  /// keep the last tokens only, and recurrent state.
  [[nodiscard]] Bytes cache_bytes(std::int64_t tokens) const;
  /// State of gated delta layers per sequence, whatever its length: recurrent in float32, the
  /// convolution's inputs in the activations' format. `revocable` further states and inputs stand
  /// beside it.
  [[nodiscard]] Bytes state_bytes() const;
  /// Content key of the stage.
  [[nodiscard]] std::uint64_t key() const;
};

/// The whole model on one chip.
[[nodiscard]] Stage whole_model(const NeuralNetwork& network, const Precision& precision);

/// Cuts a model into `pipeline` runs of whole layers, as even as possible with the earlier ones
/// longer, plus `head_chips` stages that each hold an equal share of the LM head's rows. With
/// head_chips = 0 the last stage holds the head itself. Throws ModelError for a pipeline of less
/// than one or more stages than layers, or head_chips that are negative or more than the
/// vocabulary. Every stage, those of the head too, is shared by `tensor` chips.
[[nodiscard]] std::vector<Stage> partition_pipeline(const NeuralNetwork& network,
                                                    const Precision& precision,
                                                    std::int64_t pipeline, std::int64_t head_chips,
                                                    std::int64_t tensor = 1);

}  // namespace tandem
