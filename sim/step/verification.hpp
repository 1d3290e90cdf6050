// Which drafts a verification keeps, and how the tokens of speculative decoding are chosen.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "sim/core/random.hpp"
#include "sim/numerics/ops/draft_tree.hpp"
#include "sim/numerics/ops/sampling.hpp"
#include "sim/step/generate.hpp"

namespace tandem {

/// The drafts of one round.
struct Drafts {
  std::vector<std::int32_t> tokens;
  /// [drafts, vocabulary]: the distribution behind the token that each follows; empty where nothing
  /// was drawn.
  std::vector<float> probabilities;
  Picoseconds end;
  Picoseconds floor;
  /// The draft that each follows, -1: the newest token. Of a chain empty.
  std::vector<std::int64_t> parents = {};

  [[nodiscard]] bool is_tree() const { return !parents.empty(); }
  [[nodiscard]] std::int64_t count() const { return static_cast<std::int64_t>(tokens.size()); }
};

/// How a draft is chosen from logits: as the text is, with a stream of its own ("drafts").
class DraftChoice {
 public:
  explicit DraftChoice(const GenerateOptions& options)
      : sampling_(sampling_of(options)), random_(options.seed, "drafts") {}
  void choose(std::span<const float> logits, Drafts& drafts);
  /// Up to `count` different candidates that follow draft `parent`: the most probable ones, or
  /// drawn without replacement.
  void choose(std::span<const float> logits, std::int64_t count, std::int64_t parent,
              Drafts& drafts);

 private:
  ops::Sampling sampling_;
  RandomStream random_;
};

/// The exact rule: greedy text is the model's, sampled text is distributed as the model's
/// (ops::accept_drafts, ops::accept_tree). Streams: "sampling" for the token behind the prompt, as
/// generate() draws it, and "verification".
class Verification {
 public:
  explicit Verification(const GenerateOptions& options)
      : sampling_(sampling_of(options)),
        first_(options.seed, "sampling"),
        random_(options.seed, "verification") {}
  /// The token behind the prompt.
  [[nodiscard]] std::int32_t first(std::span<const float> logits) {
    return ops::sample(logits, sampling_, {}, first_);
  }
  /// `logits` are the model's, behind the newest token and behind each draft. Of a chain the first
  /// drafts are accepted.
  [[nodiscard]] ops::TreeOutcome accept(const Drafts& drafts,
                                        const std::vector<std::vector<float>>& logits);

 private:
  ops::Sampling sampling_;
  RandomStream first_;
  RandomStream random_;
};

}  // namespace tandem
