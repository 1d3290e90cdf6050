#include "sim/step/generate_in_rounds.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "sim/core/diagnostics.hpp"
#include "sim/step/drafter.hpp"
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
        placement_(verifying_side(scenario).placement.prefill),
        network_(make_network(scenario.system)),
        collectives_(placement_.gang() > 1 && make_network.has_collectives()
                         ? make_network.collectives(scenario.system, scenario.software)
                         : nullptr),
        chip_(make_chip_model(scenario, catalogue, placement_.pool)),
        model_(pool_of(weights)),
        drafter_(drafter_of(scenario, weights, draft_weights)),
        verification_(options),
        book_(options, prompt) {}

  GenerateResult run() {
    compute_prompt();
    while (book_.wants_more()) run_round();
    GenerateResult& result = book_.result();
    result.chip_cycles = model_->cycles();
    for (const auto& [name, cycles] : drafter_->cycles()) result.chip_cycles[name] += cycles;
    result.transfers = model_->transfers();
    return book_.take();
  }

 private:
  [[nodiscard]] std::unique_ptr<FunctionalPool> pool_of(const Weights& weights) {
    return std::make_unique<FunctionalPool>(*chip_, placement_, weights, options_.positions, 0,
                                            *network_, collectives_.get(), options_.timeline);
  }

  [[nodiscard]] std::unique_ptr<Drafter> drafter_of(const Scenario& scenario,
                                                    const Weights& weights,
                                                    const Weights& draft_weights) {
    if (scenario.placement.speculation.method == DraftMethod::DraftModel) {
      return std::make_unique<ModelDrafter>(pool_of(draft_weights), options_);
    }
    std::vector<std::unique_ptr<FunctionalPool>> modules;
    for (std::int64_t i = 0; i < std::min(weights.network.mtp.modules, drafts_); ++i) {
      modules.push_back(pool_of(weights_of_module(weights, i)));
    }
    return std::make_unique<ModuleDrafter>(std::move(modules), options_);
  }

  void compute_prompt() {
    const PoolPass pass = model_->run(book_.tokens(), 0, Picoseconds(0));
    now_ = book_.result().time_to_first_token = pass.end;
    book_.result().floor += pass.floor;
    if (placement_.hands_on_hidden) drafter_->learn(0, pass.hidden);
    book_.book(pass.rows, book_.known() - 1, {verification_.first(pass.logits)}, now_);
  }

  void run_round() {
    GenerateResult& result = book_.result();
    const std::int64_t context = book_.known() - 1;
    const std::int64_t count = std::min(drafts_, options_.positions - book_.known());
    const Drafts drafts = drafter_->draft(book_.tokens(), count, now_);
    std::vector<std::int32_t> fed{book_.tokens().back()};
    fed.insert(fed.end(), drafts.tokens.begin(), drafts.tokens.end());
    model_->keep(context);
    const PoolPass pass = model_->run(fed, context, drafts.end, count);
    now_ = pass.end;
    result.floor += drafts.floor + pass.floor;
    const ops::SpeculationOutcome outcome = verification_.accept(drafts, pass.rows);
    result.rounds.push_back({count, outcome.accepted});
    if (placement_.hands_on_hidden) drafter_->learn(context, pass.hidden);
    book_.book(pass.rows, context, outcome.tokens, now_);
  }

  const GenerateOptions& options_;
  std::int64_t drafts_;
  PoolPlacement placement_;
  std::unique_ptr<NetworkModel> network_;
  std::unique_ptr<CollectiveModel> collectives_;
  std::unique_ptr<ChipModel> chip_;
  std::unique_ptr<FunctionalPool> model_;
  std::unique_ptr<Drafter> drafter_;
  Verification verification_;
  TokenBook book_;
  Picoseconds now_{0};
};

void check_drafting(const Scenario& scenario, const Weights& weights,
                    const Weights& draft_weights) {
  const Speculation& speculation = scenario.placement.speculation;
  const auto fail = [&](const std::string& what) { throw ConfigError(speculation.place, what); };
  if (scenario.placement.is_split()) {
    fail(
        "functional runs draft on the pool of mode monolithic; write that mode, or leave "
        "'speculation' out");
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
