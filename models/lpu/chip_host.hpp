// The host's part of a pass on one LPU: it writes the step descriptor and the registers while the
// chip is parked, lets the program run, and reads results and KV.
#pragma once

#include <memory>
#include <vector>

#include "models/lpu/compiler/compiler.hpp"
#include "models/lpu/machine.hpp"
#include "sim/lower/chip_model.hpp"

namespace tandem::lpu {

/// A token of a pass: its request's slot and its position in that request.
struct TokenPlace {
  int slot = 0;
  std::int64_t position = 0;
};

/// Values of the host registers for one pass; equal for functional and timed-only runs. A pass may
/// have fewer tokens than its program: the others grow a block that nobody reads. Throws ModelError
/// for places that do not exist, and for tokens of one request that lie in different KV blocks (the
/// staging area holds one block per request).
[[nodiscard]] HostRegisters pass_registers(const Geometry& geometry, const StageLayout& layout,
                                           std::span<const TokenPlace> tokens);
[[nodiscard]] HostRegisters pass_registers(const Geometry& geometry, const StageLayout& layout,
                                           int slot, std::int64_t position);

/// What one pass gave for one of its tokens.
struct TokenResult {
  std::vector<float> hidden;     ///< sent over the link, or handed on behind the final norm
  std::vector<float> logits;     ///< of the head slice; empty without a head
  std::int32_t best_token = -1;  ///< of the head slice, from the two vectors that the chip keeps
  float best_logit = 0;
  /// The best tokens that the program was asked for, best first, equal ones by index.
  std::vector<std::pair<std::int32_t, float>> top;
};

/// A pass of one token.
struct PassResult : TokenResult {
  RunResult run;
};

/// A pass of several tokens.
struct BatchResult {
  RunResult run;
  std::vector<TokenResult> tokens;
};

/// Chips with a stage in them, functional.
class StageHost {
 public:
  virtual ~StageHost() = default;
  /// Goes on with another program of the same layout: SRAM stays as it is.
  virtual void use(const CompiledStage& stage) = 0;
  /// Runs as many tokens as the program has, or fewer. `hidden`: the residual stream that enters,
  /// by token: its embedding in a first stage, else what the link brings; of modules that predict
  /// further tokens, the embedding and behind it the hidden state that it is joined with. Tokens of
  /// one request follow each other; each sees those before it.
  virtual BatchResult run_tokens(std::span<const TokenPlace> places,
                                 const std::vector<std::span<const float>>& hidden) = 0;
  /// What a request's `tokens` tokens left in its slot, KV and recurrent states, and the reverse.
  [[nodiscard]] virtual KvBlock read_kv(int slot, std::int64_t tokens) const = 0;
  virtual void write_kv(int slot, const KvBlock& block) = 0;
};

/// One chip with a stage in it.
class ChipHost final : public StageHost {
 public:
  ChipHost(const Geometry& geometry, const LatencyTable& latencies, const CompiledStage& stage,
           const Weights& weights);
  /// A chip of a rack, whose machine others run; `stage` is its rank's (CompiledStage::of_rank).
  ChipHost(const Geometry& geometry, const CompiledStage& stage, const Weights& weights,
           Machine& machine);
  void use(const CompiledStage& stage) override;
  /// Runs one token at `position` of the request in `slot`. `hidden` is the residual stream that
  /// enters: the token's row of the embedding table in a first stage (scaled, and added to a
  /// learned position's, in here), else what the link brings.
  PassResult run_token(int slot, std::int64_t position, std::span<const float> hidden);
  BatchResult run_tokens(std::span<const TokenPlace> places,
                         const std::vector<std::span<const float>>& hidden) override;
  /// What run_tokens does before the run and after it.
  void prepare(std::span<const TokenPlace> places,
               const std::vector<std::span<const float>>& hidden);
  [[nodiscard]] BatchResult results(int tokens, RunResult run) const;
  /// The lanes of a vector in SRAM, decoded; for tests of single operators.
  [[nodiscard]] std::vector<float> read_vector(const Rows& rows, Type type) const;
  [[nodiscard]] KvBlock read_kv(int slot, std::int64_t tokens) const override;
  void write_kv(int slot, const KvBlock& block) override;

 private:
  void load_stage(const Weights& weights);
  void write_value(const Rows& rows, Type type, std::span<const float> values);
  [[nodiscard]] std::vector<float> read_value(const Rows& rows) const;
  void write_descriptor(const TokenBuffers& token, std::int64_t position,
                        std::span<const float> hidden);
  void write_embedding(const TokenBuffers& token, std::int64_t position,
                       std::span<const float> row);
  void write_fp32(const std::vector<Rows>& to, std::span<const float> values);
  void write_mask(const TokenBuffers& token, std::int64_t position);
  [[nodiscard]] std::vector<LinkVector> arrivals(
      const std::vector<std::span<const float>>& hidden) const;
  [[nodiscard]] TokenResult read_results(int token, const RunResult& run) const;
  [[nodiscard]] std::vector<float> sent_hidden(int token, const RunResult& run) const;
  void read_best(const TokenBuffers& token, TokenResult& result) const;
  void clear_states(int slot);
  [[nodiscard]] Rows key_rows(const PackLayout& pack, int slot, std::int64_t token) const;
  [[nodiscard]] Rows value_rows(const PackLayout& pack, int slot, std::int64_t block,
                                int channel) const;
  [[nodiscard]] Rows staged_rows(const PackLayout& pack, int slot, std::int64_t token) const;
  /// Keys and values of a layer whose tables begin at byte `at` of the block.
  void read_layer_kv(const LayerLayout& layer, int slot, std::int64_t at, KvBlock& block) const;
  void write_layer_kv(const LayerLayout& layer, int slot, std::int64_t at, const KvBlock& block);

  Geometry geometry_;
  const CompiledStage* stage_;
  std::unique_ptr<Machine> own_;
  Machine* machine_;
  Tensor positions_;  ///< learned ones; empty elsewhere
};

/// Cosines, and sines with the sign of the rotation, of one position for every lane of a pack.
/// Angles in double: position / theta^(2 i / rotated), scaled as the network says (Llama 3.1, YaRN,
/// linear). Channels that do not rotate have cosine 1. Sources: RoFormer (Su et al. 2021) eq. 34;
/// those of ops::Rope's scalings.
void rotary_vectors(const ops::Rope& rope, const StageShape& shape, std::int64_t position,
                    std::vector<float>& cosine, std::vector<float>& sine);

}  // namespace tandem::lpu
