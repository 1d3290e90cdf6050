#include "sim/step/draft_generate.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <memory>

#include "sim/core/diagnostics.hpp"
#include "sim/numerics/ops/argmax.hpp"
#include "sim/numerics/ops/speculation.hpp"
#include "sim/step/functional_pool.hpp"

namespace tandem {
namespace {

using Tokens = std::vector<std::int32_t>;

NetworkModel::Payload bytes_of_ids(const Tokens& ids) {
  std::vector<std::byte> bytes(ids.size() * sizeof(std::int32_t));
  std::memcpy(bytes.data(), ids.data(), bytes.size());
  return std::make_shared<const std::vector<std::byte>>(std::move(bytes));
}

Tokens ids_of_bytes(const std::vector<std::byte>& bytes) {
  Tokens ids(bytes.size() / sizeof(std::int32_t));
  std::memcpy(ids.data(), bytes.data(), bytes.size());
  return ids;
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
                  const Weights& draft_weights, const GenerateOptions& options)
      : options_(options),
        drafts_(scenario.placement.speculation.drafts),
        network_(make_network(scenario.system)),
        verify_(scenario, catalogue, make_network, verifying_side(scenario).placement.prefill,
                weights, options.positions, 0, options.timeline),
        draft_(scenario, catalogue, make_network, verifying_side(scenario).placement.draft,
               draft_weights, options.positions, chips_before_drafts(scenario.placement),
               options.timeline) {}

  GenerateResult run(std::span<const std::int32_t> prompt) {
    const auto fed =
        std::min<std::int64_t>(static_cast<std::int64_t>(prompt.size()), options_.positions);
    result_.tokens.assign(prompt.begin(), prompt.begin() + fed);
    result_.prompt_tokens = fed;
    compute_prompts();
    while (wants_more()) run_round();
    return finish();
  }

 private:
  /// Pools of one group of chips stand side by side.
  [[nodiscard]] std::int64_t chips_before_drafts(const Placement& placement) {
    return placement.draft.pool == placement.prefill.pool ? verify_.pool().chips() : 0;
  }
  [[nodiscard]] bool wants_more() const { return !ended_ && known() <= options_.positions; }
  [[nodiscard]] std::int64_t known() const {
    return static_cast<std::int64_t>(result_.tokens.size());
  }

  /// Both pools compute the prompt at once; the first drafts wait for both.
  void compute_prompts() {
    const std::int64_t prompt = known();
    const PoolPass pass = verify_.run(result_.tokens, 0, Picoseconds(0), 0);
    result_.time_to_first_token = now_ = pass.end;
    result_.floor += pass.floor;
    draft_known_ = result_.tokens;
    book(pass.rows, prompt - 1, {ops::argmax(pass.logits)});
    if (!wants_more()) return;
    const PoolPass drafted = draft_.run(draft_known_, 0, Picoseconds(0), 0);
    draft_computed_ = prompt;
    tell_drafter({result_.tokens.back()});
    now_ = std::max(now_, drafted.end);
  }

  void run_round() {
    const std::int64_t context = known() - 1;
    const Tokens drafts = draft(std::min(drafts_, options_.positions - known()));
    Tokens fed{result_.tokens.back()};
    fed.insert(fed.end(), drafts.begin(), drafts.end());
    const auto count = static_cast<std::int64_t>(drafts.size());
    const PoolPass pass = verify_.run(fed, context, now_, count);
    now_ = pass.end;
    result_.floor += pass.floor;
    std::vector<float> logits;
    for (const auto& row : pass.rows) logits.insert(logits.end(), row.begin(), row.end());
    const ops::SpeculationOutcome outcome = ops::accept_drafts_greedy(drafts, logits);
    result_.rounds.push_back({count, outcome.accepted});
    draft_computed_ = std::min(draft_computed_, context + 1 + outcome.accepted);
    book(pass.rows, context, outcome.tokens);
    if (wants_more()) tell_drafter(outcome.tokens);
  }

  /// What the draft network would go on with; the ids arrive at the verifying pool.
  Tokens draft(std::int64_t count) {
    Tokens drafts;
    Tokens fed(draft_known_.begin() + draft_computed_, draft_known_.end());
    for (std::int64_t i = 0; i < count; ++i) {
      const PoolPass pass = draft_.run(fed, draft_computed_, now_, 0);
      draft_computed_ += static_cast<std::int64_t>(fed.size());
      now_ = pass.end;
      result_.floor += pass.floor;
      drafts.push_back(ops::argmax(pass.logits));
      fed = {drafts.back()};
    }
    return drafts.empty() ? drafts : hand_over(draft_, verify_, drafts);
  }

  void tell_drafter(const Tokens& tokens) {
    const Tokens arrived = hand_over(verify_, draft_, tokens);
    draft_known_.insert(draft_known_.end(), arrived.begin(), arrived.end());
  }

  /// Books the tokens that a pass gave, from that after `position` on; they come together.
  void book(const std::vector<std::vector<float>>& rows, std::int64_t position,
            const Tokens& tokens) {
    for (std::size_t i = 0; i < tokens.size() && wants_more(); ++i) {
      result_.token_gaps.push_back(now_ - last_token_);
      last_token_ = now_;
      result_.logits[position + static_cast<std::int64_t>(i)] = rows[i];
      ended_ = tokens[i] == end_of_text_token && !options_.ignore_end;
      if (!ended_) result_.tokens.push_back(tokens[i]);
    }
  }

  Tokens hand_over(Side& from, Side& to, const Tokens& ids) {
    const Parcel parcel{from.pool().address(0), to.pool().address(0), bytes_of_ids(ids)};
    const NetworkModel::Delivery delivery = send_and_wait(*network_, now_, {parcel}).front();
    const Bytes size(static_cast<std::int64_t>(parcel.payload->size()));
    result_.floor += network_->floor(parcel.from, parcel.to, size);
    result_.transfers.push_back(
        {chip_name(parcel.from), chip_name(parcel.to), "tokens", size, now_, delivery.time});
    now_ = delivery.time;
    return ids_of_bytes(*delivery.payload);
  }

  GenerateResult finish() {
    result_.total = last_token_;
    for (Side* side : {&verify_, &draft_}) {
      for (const auto& [name, cycles] : side->pool().cycles()) result_.chip_cycles[name] += cycles;
      const std::vector<Transfer> hidden = side->pool().transfers();
      result_.transfers.insert(result_.transfers.end(), hidden.begin(), hidden.end());
    }
    std::stable_sort(result_.transfers.begin(), result_.transfers.end(),
                     [](const Transfer& a, const Transfer& b) { return a.start < b.start; });
    return std::move(result_);
  }

  const GenerateOptions& options_;
  std::int64_t drafts_;
  std::unique_ptr<NetworkModel> network_;  ///< of the token ids
  Side verify_;
  Side draft_;
  Tokens draft_known_;               ///< what the draft pool has been told
  std::int64_t draft_computed_ = 0;  ///< of these, the ones whose KV it holds
  Picoseconds now_{0};
  Picoseconds last_token_{0};
  bool ended_ = false;
  GenerateResult result_;
};

}  // namespace

GenerateResult generate_with_drafts(const Scenario& scenario, const Catalogue& catalogue,
                                    const NetworkFactory& make_network, const Weights& weights,
                                    const Weights& draft_weights,
                                    std::span<const std::int32_t> prompt,
                                    const GenerateOptions& options) {
  check_generation(weights, prompt, options);
  check_generation(draft_weights, prompt, options);
  if (options.temperature > 0) {
    throw ConfigError(
        "mode drafter decodes greedily; leave --temperature out, or use another mode");
  }
  if (!options.forced.empty()) throw ModelError("drafts: tokens cannot be forced");
  if (draft_weights.network.vocabulary != weights.network.vocabulary) {
    throw ConfigError(fmt::format("the draft model has a vocabulary of {}, the model of {}",
                                  draft_weights.network.vocabulary, weights.network.vocabulary));
  }
  return DraftGeneration(scenario, catalogue, make_network, weights, draft_weights, options)
      .run(prompt);
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
