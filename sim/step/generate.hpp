// Functional generation of text: a real model runs token by token on the chips of a placement, its
// KV cache and hidden states move over simulated links as real bytes, and every pass is timed.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "sim/core/timeline.hpp"
#include "sim/core/units.hpp"
#include "sim/describe/scenario.hpp"
#include "sim/lower/chip_model.hpp"
#include "sim/lower/network_model.hpp"
#include "sim/lower/weights.hpp"
#include "sim/numerics/ops/sampling.hpp"

namespace tandem {

class StageStore;

struct GenerateOptions {
  std::int64_t positions = 0;  ///< forward passes in tokens, prompt included, as llama2.c counts
  double temperature = 0;      ///< 0: greedy
  std::int64_t top_k = 0;      ///< sample from the k most probable tokens; 0: from all
  double top_p = 1;            ///< and of these from the most probable that together reach p
  std::uint64_t seed = 1;
  std::int64_t branches = 1;  ///< texts that go on from the same prompt
  /// Keep going after the end-of-text token (BOS in llama2.c models) instead of stopping there.
  bool ignore_end = false;
  /// Tokens to feed instead of the model's own choices (teacher forcing); empty: none.
  std::vector<std::int32_t> forced;
  TimelineRecorder* timeline = nullptr;
};

/// One message that carried model state between chips.
struct Transfer {
  std::string from;  ///< "gpu0"
  std::string to;
  std::string what;  ///< "kv", "hidden", "tokens" or "probabilities"
  Bytes bytes;
  Picoseconds start;
  Picoseconds end;
};

/// How `options` choose tokens.
[[nodiscard]] ops::Sampling sampling_of(const GenerateOptions& options);

/// One round of speculative decoding.
struct DraftRound {
  std::int64_t drafted = 0;
  std::int64_t accepted = 0;
};

/// A further text that goes on from the prompt's KV, sampled from a stream of its own.
struct GeneratedBranch {
  std::vector<std::int32_t> tokens;                   ///< prompt, then what was generated
  std::vector<Picoseconds> token_gaps;                ///< as in GenerateResult
  std::map<std::int64_t, std::vector<float>> logits;  ///< as in GenerateResult
};

struct GenerateResult {
  std::vector<std::int32_t> tokens;  ///< prompt, then what was generated
  std::int64_t prompt_tokens = 0;
  Picoseconds time_to_first_token;
  std::vector<Picoseconds> token_gaps;  ///< per generated token: time since the one before it;
                                        ///< the first counts from the start of the prompt
  Picoseconds total;                    ///< until the last token of all branches
  Picoseconds floor;                ///< sum of the analytical floors of the very passes that ran
  std::vector<Transfer> transfers;  ///< KV moves, and hidden states between pipeline stages
  std::map<std::string, Cycles> chip_cycles;
  /// Logits [vocabulary] by position, for the positions that were sampled from.
  std::map<std::int64_t, std::vector<float>> logits;
  /// KV of the prompt as it left the prefill pool and as it arrived, by decode stage; empty unless
  /// the placement is disaggregated.
  std::vector<KvBlock> kv_sent;
  std::vector<KvBlock> kv_received;
  std::vector<DraftRound> rounds;         ///< of speculative decoding
  std::vector<GeneratedBranch> branches;  ///< those after the first, whose text is `tokens`
};

/// Ends a text: llama2.c models separate documents with BOS.
inline constexpr std::int32_t end_of_text_token = 1;

/// Throws ConfigError for a prompt or positions that the network cannot take.
void check_generation(const Weights& weights, std::span<const std::int32_t> prompt,
                      const GenerateOptions& options);

/// Runs `prompt` (not empty; the tokenizer's BOS first) and continues it. With branches the prompt
/// is computed once, each branch goes on from a copy of what it left (KV and recurrent states), and
/// those that go on share their passes. Branch 0 samples from the stream "sampling", as it would
/// alone, branch b from "sampling, branch b". Throws ConfigError when the placement cannot hold the
/// model or the positions exceed its context.
[[nodiscard]] GenerateResult generate(const Scenario& scenario, const Catalogue& catalogue,
                                      const NetworkFactory& make_network, const Weights& weights,
                                      std::span<const std::int32_t> prompt,
                                      const GenerateOptions& options);

/// Largest absolute difference between the run's logits and those of the fp32 reference operators
/// fed the same tokens, over all branches.
[[nodiscard]] double reference_max_abs_error(const GenerateResult& result, const Weights& weights);

/// The chip model that a pool of the scenario runs on. What its kernels do is remembered for other
/// chips of the catalogue, and in the store's folder.
[[nodiscard]] std::unique_ptr<ChipModel> make_chip_model(const Scenario& scenario,
                                                         const Catalogue& catalogue,
                                                         const std::string& pool,
                                                         const StageStore* store = nullptr);

}  // namespace tandem
