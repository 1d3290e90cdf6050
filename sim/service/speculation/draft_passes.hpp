// Drafts on the chips that verify: the passes that make them follow each pass of the model, and
// what comes of a round is drawn.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "sim/service/request.hpp"
#include "sim/service/speculation/acceptance.hpp"
#include "sim/service/speculation/speculation_use.hpp"
#include "sim/step/estimator.hpp"

namespace tandem {

/// What a pool does besides the passes of its model.
///
/// The first pass of each module, or of a draft model, takes the tokens of the model's pass: those
/// that turn out to be rejected too, as engines do that do not wait for the outcome
/// (vllm-project/vllm vllm/v1/spec_decode/eagle.py, padded batches). A draft model has KV of all
/// but the newest token, or two. Each further draft is a pass of one token per request, or of as
/// many as a tree has drafts at that depth.
class DraftPasses {
 public:
  /// `drafting` answers passes of what drafts, of which there are `copies`; null and none where
  /// drafts are looked up in the text. `use` collects what the rounds of all pools came to. A pool
  /// of prompts alone only keeps up.
  DraftPasses(const Speculation& speculation, StepEstimator* drafting, std::int64_t copies,
              bool only_keeps_up, std::uint64_t seed, SpeculationUse& use)
      : speculation_(speculation),
        drafting_(drafting),
        copies_(copies),
        only_keeps_up_(only_keeps_up),
        seed_(seed),
        use_(use) {}

  /// Adds to a pass of the model those behind it.
  void add_to(const Batch& batch, StepSampler* sampler, StepEstimate& estimate);
  /// The passes behind one of `batch`, in their order.
  [[nodiscard]] std::vector<Batch> behind(const Batch& batch) const;

  /// Tokens that a pass with `unverified` drafts of a request gives, drawn.
  [[nodiscard]] std::int64_t tokens_of_round(std::int64_t request, std::int64_t unverified);
  /// A request gets its next tokens at `now`; before the pass that gives them `drafting` of its
  /// replica's time went into drafts since the run began. A request that comes with its prompt's KV
  /// counts none until it has been here once.
  void account(const Request& request, Picoseconds now, Picoseconds drafting);
  /// The request has no more rounds.
  void forget(std::int64_t request) {
    luck_.erase(request);
    drafting_before_.erase(request);
  }
  /// Drafts that a request's next pass verifies.
  [[nodiscard]] std::int64_t drafted() const { return only_keeps_up_ ? 0 : speculation_.drafted(); }

 private:
  [[nodiscard]] Batch keeping_up(const Batch& batch) const;
  [[nodiscard]] Batch drafting_at(const Batch& batch, std::int64_t depth) const;

  const Speculation& speculation_;
  StepEstimator* drafting_;
  std::int64_t copies_;
  bool only_keeps_up_;
  std::uint64_t seed_;
  SpeculationUse& use_;
  std::map<std::int64_t, AcceptanceStream> luck_;
  std::map<std::int64_t, Picoseconds> drafting_before_;  ///< by request, when it got tokens last
};

}  // namespace tandem
