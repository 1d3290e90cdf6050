#include "sim/step/draft_generate.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <memory>

#include "sim/core/diagnostics.hpp"
#include "sim/step/functional_pool.hpp"
#include "sim/step/token_book.hpp"
#include "sim/step/verification.hpp"

namespace tandem {
namespace {

using Tokens = std::vector<std::int32_t>;

template <class Value>
NetworkModel::Payload bytes_of(const std::vector<Value>& values) {
  std::vector<std::byte> bytes(values.size() * sizeof(Value));
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return std::make_shared<const std::vector<std::byte>>(std::move(bytes));
}

template <class Value>
std::vector<Value> values_of(const std::vector<std::byte>& bytes) {
  std::vector<Value> values(bytes.size() / sizeof(Value));
  std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

/// One pool with its network of links; each pool's messages follow each other in time.
class Side {
 public:
  Side(const Scenario& scenario, const Catalogue& catalogue, const NetworkFactory& make_network,
       const PoolPlacement& placement, const Weights& weights, std::int64_t positions,
       std::int64_t first_chip, TimelineRecorder* timeline)
      : network_(make_network(scenario.system)),
        collectives_(placement.gang() > 1 && make_network.has_collectives()
                         ? make_network.collectives(scenario.system, scenario.software)
                         : nullptr),
        chip_(make_chip_model(scenario, catalogue, placement.pool)),
        pool_(*chip_, placement, weights, positions, first_chip, *network_, collectives_.get(),
              timeline) {}

  FunctionalPool& pool() { return pool_; }
  /// Computes `tokens` behind the first `context` ones; what was computed beyond those is dropped.
  PoolPass run(std::span<const std::int32_t> tokens, std::int64_t context, Picoseconds start,
               std::int64_t verified) {
    for (std::size_t s = 0; s < pool_.stages().size(); ++s) pool_.loaded(s).keep(0, context);
    return pool_.run(tokens, context, start, verified);
  }

 private:
  std::unique_ptr<NetworkModel> network_;
  std::unique_ptr<CollectiveModel> collectives_;
  std::unique_ptr<ChipModel> chip_;
  FunctionalPool pool_;
};

class DraftGeneration {
 public:
  DraftGeneration(const Scenario& scenario, const Catalogue& catalogue,
                  const NetworkFactory& make_network, const Weights& weights,
                  const Weights& draft_weights, std::span<const std::int32_t> prompt,
                  const GenerateOptions& options)
      : options_(options),
        drafts_(scenario.placement.speculation.drafts),
        network_(make_network(scenario.system)),
        verify_(scenario, catalogue, make_network, verifying_side(scenario).placement.prefill,
                weights, options.positions, 0, options.timeline),
        draft_(scenario, catalogue, make_network, verifying_side(scenario).placement.draft,
               draft_weights, options.positions, chips_before_drafts(scenario.placement),
               options.timeline),
        choice_(options),
        verification_(options),
        book_(options, prompt) {}

  GenerateResult run() {
    compute_prompts();
    while (book_.wants_more()) run_round();
    return finish();
  }

 private:
  /// Pools of one group of chips stand side by side.
  [[nodiscard]] std::int64_t chips_before_drafts(const Placement& placement) {
    return placement.draft.pool == placement.prefill.pool ? verify_.pool().chips() : 0;
  }

  /// Both pools compute the prompt at once; the first drafts wait for both.
  void compute_prompts() {
    const std::int64_t prompt = book_.known();
    const PoolPass pass = verify_.run(book_.tokens(), 0, Picoseconds(0), 0);
    book_.result().time_to_first_token = now_ = pass.end;
    book_.result().floor += pass.floor;
    draft_known_ = book_.tokens();
    book_.book(pass.rows, prompt - 1, {verification_.first(pass.logits)}, now_);
    if (!book_.wants_more()) return;
    const PoolPass drafted = draft_.run(draft_known_, 0, Picoseconds(0), 0);
    draft_computed_ = prompt;
    tell_drafter({book_.tokens().back()});
    now_ = std::max(now_, drafted.end);
  }

  void run_round() {
    const std::int64_t context = book_.known() - 1;
    const Drafts drafts = draft(std::min(drafts_, options_.positions - book_.known()));
    Tokens fed{book_.tokens().back()};
    fed.insert(fed.end(), drafts.tokens.begin(), drafts.tokens.end());
    const auto count = static_cast<std::int64_t>(drafts.tokens.size());
    const PoolPass pass = verify_.run(fed, context, now_, count);
    now_ = pass.end;
    book_.result().floor += pass.floor;
    const ops::TreeOutcome outcome = verification_.accept(drafts, pass.rows);
    const auto accepted = static_cast<std::int64_t>(outcome.accepted.size());
    book_.result().rounds.push_back({count, accepted});
    draft_computed_ = std::min(draft_computed_, context + 1 + accepted);
    book_.book(pass.rows, context, outcome.tokens, now_);
    if (book_.wants_more()) tell_drafter(outcome.tokens);
  }

  /// What the draft network would go on with, as it arrives at the verifying pool: ids, and what
  /// sampled ones were drawn from.
  Drafts draft(std::int64_t count) {
    Drafts drafts;
    Tokens fed(draft_known_.begin() + draft_computed_, draft_known_.end());
    for (std::int64_t i = 0; i < count; ++i) {
      const PoolPass pass = draft_.run(fed, draft_computed_, now_, 0);
      draft_computed_ += static_cast<std::int64_t>(fed.size());
      now_ = pass.end;
      book_.result().floor += pass.floor;
      choice_.choose(pass.logits, drafts);
      fed = {drafts.tokens.back()};
    }
    if (drafts.tokens.empty()) return drafts;
    drafts.tokens = hand_over(draft_, verify_, drafts.tokens, "tokens");
    if (!drafts.probabilities.empty()) {
      drafts.probabilities = hand_over(draft_, verify_, drafts.probabilities, "probabilities");
    }
    return drafts;
  }

  void tell_drafter(const Tokens& tokens) {
    const Tokens arrived = hand_over(verify_, draft_, tokens, "tokens");
    draft_known_.insert(draft_known_.end(), arrived.begin(), arrived.end());
  }

  template <class Value>
  std::vector<Value> hand_over(Side& from, Side& to, const std::vector<Value>& values,
                               const char* what) {
    const Parcel parcel{from.pool().address(0), to.pool().address(0), bytes_of(values)};
    const NetworkModel::Delivery delivery = send_and_wait(*network_, now_, {parcel}).front();
    const Bytes size(static_cast<std::int64_t>(parcel.payload->size()));
    book_.result().floor += network_->floor(parcel.from, parcel.to, size);
    book_.result().transfers.push_back(
        {chip_name(parcel.from), chip_name(parcel.to), what, size, now_, delivery.time});
    now_ = delivery.time;
    return values_of<Value>(*delivery.payload);
  }

  GenerateResult finish() {
    GenerateResult& result = book_.result();
    for (Side* side : {&verify_, &draft_}) {
      for (const auto& [name, cycles] : side->pool().cycles()) result.chip_cycles[name] += cycles;
      const std::vector<Transfer> hidden = side->pool().transfers();
      result.transfers.insert(result.transfers.end(), hidden.begin(), hidden.end());
    }
    return book_.take();
  }

  const GenerateOptions& options_;
  std::int64_t drafts_;
  std::unique_ptr<NetworkModel> network_;  ///< of what is handed over
  Side verify_;
  Side draft_;
  DraftChoice choice_;
  Verification verification_;
  TokenBook book_;
  Tokens draft_known_;               ///< what the draft pool has been told
  std::int64_t draft_computed_ = 0;  ///< of these, the ones whose KV it holds
  Picoseconds now_{0};
};

}  // namespace

GenerateResult generate_with_drafts(const Scenario& scenario, const Catalogue& catalogue,
                                    const NetworkFactory& make_network, const Weights& weights,
                                    const Weights& draft_weights,
                                    std::span<const std::int32_t> prompt,
                                    const GenerateOptions& options) {
  check_generation(weights, prompt, options);
  check_generation(draft_weights, prompt, options);
  if (!options.forced.empty()) throw ModelError("drafts: tokens cannot be forced");
  if (draft_weights.network.vocabulary != weights.network.vocabulary) {
    throw ConfigError(fmt::format("the draft model has a vocabulary of {}, the model of {}",
                                  draft_weights.network.vocabulary, weights.network.vocabulary));
  }
  return DraftGeneration(scenario, catalogue, make_network, weights, draft_weights, prompt, options)
      .run();
}

Weights weights_within(const Weights& weights, const NeuralNetwork& network) {
  Weights part;
  part.network = network;
  for (const TensorSpec& spec : tensors_of(network)) {
    const auto found = weights.tensors.find(spec.name);
    if (found == weights.tensors.end() || found->second.shape() != spec.shape) {
      throw ConfigError(
          fmt::format("the checkpoint has no tensor '{}' of the shape that draft model '{}' needs; "
                      "give the draft model's own with --draft-checkpoint FILE",
                      spec.name, network.name));
    }
    part.tensors.emplace(spec.name, found->second);
  }
  return part;
}

}  // namespace tandem
