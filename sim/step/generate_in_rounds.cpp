#include "sim/step/generate_in_rounds.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "sim/core/diagnostics.hpp"
#include "sim/core/integers.hpp"
#include "sim/step/drafter.hpp"
#include "sim/step/kv_handover.hpp"
#include "sim/step/round_pool.hpp"
#include "sim/step/token_book.hpp"
#include "sim/step/verification.hpp"

namespace tandem {
namespace {

std::unique_ptr<Drafter> drafter_of(const Speculation& speculation, std::size_t networks,
                                    const GenerateOptions& options) {
  switch (speculation.method) {
    case DraftMethod::DraftModel:
      return std::make_unique<ModelDrafter>(speculation.tree, options);
    case DraftMethod::Modules:
      return std::make_unique<ModuleDrafter>(networks, speculation.tree, options);
    case DraftMethod::PromptLookup:
      return std::make_unique<LookupDrafter>(speculation.lookup);
    case DraftMethod::None:
      break;
  }
  throw ModelError("drafts: nothing makes any");
}

/// The newest token and the drafts behind it, as a verification takes them.
TokenTree tree_of(const Drafts& drafts, std::int64_t context) {
  if (!drafts.is_tree()) return {};
  TokenTree tree{context, {-1}};
  for (const std::int64_t parent : drafts.parents) tree.parents.push_back(parent + 1);
  return tree;
}

/// Rows of a verification that stand for tokens of the text: the newest one's, and the accepted
/// drafts'.
std::vector<std::int64_t> rows_of_text(const ops::TreeOutcome& outcome) {
  std::vector<std::int64_t> rows{0};
  for (const std::int64_t draft : outcome.accepted) rows.push_back(draft + 1);
  return rows;
}

std::vector<std::vector<float>> logits_at(const PoolPass& pass,
                                          const std::vector<std::int64_t>& rows) {
  std::vector<std::vector<float>> logits;
  for (const std::int64_t row : rows) logits.push_back(pass.rows[index_of(row)]);
  return logits;
}

Tensor hidden_at(const Tensor& hidden, const std::vector<std::int64_t>& rows) {
  const std::int64_t bytes = hidden.dim(1) * bytes_of(hidden.type());
  Tensor result(hidden.type(), {static_cast<std::int64_t>(rows.size()), hidden.dim(1)});
  auto to = result.bytes().begin();
  for (const std::int64_t row : rows) {
    to = std::copy_n(hidden.bytes().begin() + row * bytes, bytes, to);
  }
  return result;
}

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
    drafter_ = drafter_of(scenario.placement.speculation, drafting.size(), options);
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
    const std::int64_t depth = std::min(wanted, options_.positions - book_.known());
    const Drafts drafts = drafter_->draft(book_.tokens(), depth, now_);
    std::vector<std::int32_t> fed{book_.tokens().back()};
    fed.insert(fed.end(), drafts.tokens.begin(), drafts.tokens.end());
    const PoolPass pass =
        model().run(fed, context, drafts.end, drafts.count(), {}, tree_of(drafts, context));
    now_ = pass.end;
    result.floor += drafts.floor + pass.floor;
    const ops::TreeOutcome outcome = verification_.accept(drafts, pass.rows);
    const std::vector<std::int64_t> text = rows_of_text(outcome);
    if (wanted > 0) {
      result.rounds.push_back({drafts.count(), static_cast<std::int64_t>(text.size()) - 1});
    }
    if (uses_hidden()) drafter_->learn(context, hidden_at(pass.hidden, text));
    keep_text(context, text, drafts.is_tree());
    book_.book(logits_at(pass, text), context, outcome.tokens, now_);
  }

  /// What rejected drafts left is given up.
  void keep_text(std::int64_t context, const std::vector<std::int64_t>& rows, bool is_tree) {
    if (!is_tree) return model().keep(context + static_cast<std::int64_t>(rows.size()));
    std::vector<std::int64_t> places;
    for (const std::int64_t row : rows) places.push_back(context + row);
    model().keep_path(context, places);
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
  if (!speculation.tree.empty() && speculation.method == DraftMethod::Modules && modules > 1) {
    fail(
        "functional trees are drafted by one module of multi-token prediction, or by a draft "
        "model; write 'drafts' instead of 'tree'");
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
