#include "sim/step/generate_in_rounds.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "sim/core/diagnostics.hpp"
#include "sim/step/drafter.hpp"
#include "sim/step/kv_handover.hpp"
#include "sim/step/round_pool.hpp"
#include "sim/step/token_book.hpp"
#include "sim/step/verification.hpp"

namespace tandem {
namespace {

/// Passes of the model and of what drafts take turns on the same chips.
class RoundGeneration {
 public:
  RoundGeneration(const Scenario& scenario, const Catalogue& catalogue,
                  const NetworkFactory& make_network, const Weights& weights,
                  const Weights& draft_weights, std::span<const std::int32_t> prompt,
                  const GenerateOptions& options)
      : options_(options),
        drafts_(scenario.placement.speculation.drafts),
        placement_(verifying_side(scenario).placement),
        network_(make_network(scenario.system)),
        verification_(options),
        book_(options, prompt) {
    const std::vector<Weights> drafting =
        drafting_weights(scenario.placement.speculation, weights, draft_weights);
    const auto pool_of = [&](const PoolPlacement& pool, std::int64_t first_chip) {
      return std::make_unique<RoundPool>(scenario, pool, catalogue, make_network, weights, drafting,
                                         options, first_chip, *network_);
    };
    prompts_ = pool_of(placement_.prefill, 0);
    if (placement_.is_split()) {
      const bool same = placement_.decode.pool == placement_.prefill.pool;
      rounds_ = pool_of(placement_.decode, same ? prompts_->model().chips() : 0);
    }
    if (scenario.placement.speculation.method == DraftMethod::DraftModel) {
      drafter_ = std::make_unique<ModelDrafter>(options);
    } else {
      drafter_ = std::make_unique<ModuleDrafter>(drafting.size(), options);
    }
    drafter_->use(prompts_->drafting());
  }

  GenerateResult run() {
    compute_prompt();
    while (book_.wants_more()) run_round(drafts_);
    prompts_->add_to(book_.result());
    if (rounds_) rounds_->add_to(book_.result());
    return book_.take();
  }

 private:
  [[nodiscard]] FunctionalPool& model() { return (rounds_ ? rounds_ : prompts_)->model(); }
  [[nodiscard]] bool uses_hidden() const { return placement_.prefill.hands_on_hidden; }

  void compute_prompt() {
    GenerateResult& result = book_.result();
    const PoolPass pass = prompts_->model().run(book_.tokens(), 0, Picoseconds(0));
    now_ = pass.end;
    result.floor += pass.floor;
    if (uses_hidden()) drafter_->learn(0, pass.hidden);
    const std::int32_t first = verification_.first(pass.logits);
    if (rounds_) keep_up_with(first);
    result.time_to_first_token = now_;
    book_.book(pass.rows, book_.known() - 1, {first}, now_);
    if (rounds_ && book_.wants_more()) go_on_elsewhere();
  }

  /// What drafts takes the prompt too, before its KV leaves.
  void keep_up_with(std::int32_t first) {
    std::vector<std::int32_t> known = book_.tokens();
    known.push_back(first);
    const Drafts passes = drafter_->keep_up(known, now_);
    now_ = passes.end;
    book_.result().floor += passes.floor;
  }

  /// The other pool has no drafts for its first pass.
  void go_on_elsewhere() {
    const std::vector<FunctionalPool*> from = prompts_->all();
    const std::vector<FunctionalPool*> to = rounds_->all();
    std::vector<KvRoute> routes;
    for (std::size_t i = 0; i < from.size(); ++i) routes.push_back({from[i], to[i]});
    now_ = hand_over_kv(routes, placement_.decode.precision, *network_, now_, book_.result());
    drafter_->use(rounds_->drafting());
    run_round(0);
  }

  void run_round(std::int64_t wanted) {
    GenerateResult& result = book_.result();
    const std::int64_t context = book_.known() - 1;
    const std::int64_t count = std::min(wanted, options_.positions - book_.known());
    const Drafts drafts = drafter_->draft(book_.tokens(), count, now_);
    std::vector<std::int32_t> fed{book_.tokens().back()};
    fed.insert(fed.end(), drafts.tokens.begin(), drafts.tokens.end());
    model().keep(context);
    const PoolPass pass = model().run(fed, context, drafts.end, count);
    now_ = pass.end;
    result.floor += drafts.floor + pass.floor;
    const ops::SpeculationOutcome outcome = verification_.accept(drafts, pass.rows);
    if (wanted > 0) result.rounds.push_back({count, outcome.accepted});
    if (uses_hidden()) drafter_->learn(context, pass.hidden);
    book_.book(pass.rows, context, outcome.tokens, now_);
  }

  const GenerateOptions& options_;
  std::int64_t drafts_;
  Placement placement_;  ///< of the verifying side
  std::unique_ptr<NetworkModel> network_;
  std::unique_ptr<RoundPool> prompts_;
  std::unique_ptr<RoundPool> rounds_;  ///< where tokens have a pool of their own
  std::unique_ptr<Drafter> drafter_;
  Verification verification_;
  TokenBook book_;
  Picoseconds now_{0};
};

void check_drafting(const Scenario& scenario, const Weights& weights,
                    const Weights& draft_weights) {
  const Speculation& speculation = scenario.placement.speculation;
  const auto fail = [&](const std::string& what) { throw ConfigError(speculation.place, what); };
  const std::int64_t modules = std::min(weights.network.mtp.modules, speculation.drafts);
  if (scenario.placement.is_split() && speculation.method == DraftMethod::Modules && modules > 1) {
    fail(
        "functional runs hand over the KV of one module of multi-token prediction; write 'drafts: "
        "1', or mode monolithic");
  }
  if (!speculation.tree.empty()) {
    fail("functional runs draft one token behind the other; write 'drafts' instead of 'tree'");
  }
  if (speculation.method == DraftMethod::Modules && weights.network.mtp.modules == 0) {
    fail(fmt::format("'{}' has no modules of multi-token prediction", weights.network.name));
  }
  if (speculation.method == DraftMethod::DraftModel &&
      draft_weights.network.vocabulary != weights.network.vocabulary) {
    fail(fmt::format("the draft model has a vocabulary of {}, the model of {}",
                     draft_weights.network.vocabulary, weights.network.vocabulary));
  }
}

}  // namespace

GenerateResult generate_in_rounds(const Scenario& scenario, const Catalogue& catalogue,
                                  const NetworkFactory& make_network, const Weights& weights,
                                  const Weights& draft_weights,
                                  std::span<const std::int32_t> prompt,
                                  const GenerateOptions& options) {
  check_generation(weights, prompt, options);
  if (!options.forced.empty()) throw ModelError("drafts: tokens cannot be forced");
  Scenario own = scenario;
  own.model = weights.network;
  check_drafting(own, weights, draft_weights);
  return RoundGeneration(own, catalogue, make_network, weights, draft_weights, prompt, options)
      .run();
}

}  // namespace tandem
