#include "sim/service/deployment_model.hpp"

#include <fmt/format.h>

#include "sim/core/diagnostics.hpp"
#include "sim/service/speculation/acceptance.hpp"

namespace tandem {
namespace {

// Where no numbers are computed, how many drafts are right has to be given.
void require_acceptance(const Placement& placement) {
  if (!placement.speculation.acceptance.empty()) return;
  throw ConfigError(placement.speculation.place,
                    fmt::format("a timed run needs the probability that a draft is accepted, e.g. "
                                "'acceptance: 0.7' beside '{}', or measured "
                                "'acceptance_lengths'",
                                placement.has_drafter() ? "mode" : "method"));
}

}  // namespace

DeploymentModel::DeploymentModel(const Scenario& scenario, const Catalogue& catalogue,
                                 const NetworkFactory& make_network, StageStore& store,
                                 ChipsTaken& taken)
    : scenario_(scenario) {
  const Placement& placement = scenario.placement;
  const auto make = [&](const Scenario& side, const PoolPlacement& pool, std::int64_t first_chip,
                        LayerDuty duty = LayerDuty::Whole) {
    return std::make_unique<PoolModel>(side, pool, first_chip, catalogue, make_network, store,
                                       duty);
  };
  // Pools of one group of chips stand side by side.
  const auto take = [&](const PoolModel& pool) {
    const PoolPlacement& own = pool.placement();
    taken[own.pool] += pool.chips_per_replica() * own.replicas + own.spares;
  };
  const Scenario verifying = placement.speculation.is_on() ? verifying_side(scenario) : scenario;
  const bool drafts_in_place = placement.drafts_in_place();
  if (placement.speculation.is_on()) require_acceptance(placement);
  const std::int64_t first_chip = taken[placement.prefill.pool];
  prefill_ = make(verifying, verifying.placement.prefill, first_chip);
  take(*prefill_);
  if (drafts_in_place) {
    const Scenario drafting = drafting_side(scenario);
    prefill_drafting_ = make(drafting, drafting.placement.prefill, first_chip);
  }
  if (placement.mode == PlacementMode::Monolithic) return;
  if (placement.has_drafter()) {
    const Scenario drafting = drafting_side(scenario);
    draft_ = make(drafting, drafting.placement.draft, taken[placement.draft.pool]);
    take(*draft_);
    return;
  }
  const std::int64_t first_of_decode = taken[placement.decode.pool];
  decode_ = make(verifying, verifying.placement.decode, first_of_decode,
                 placement.has_ffn() ? LayerDuty::Mixers : LayerDuty::Whole);
  take(*decode_);
  if (const FeedForwardPool* feeding = decode_->feed_forward()) {
    taken[feeding->placement().pool] +=
        feeding->chips() * placement.decode.replicas + feeding->placement().spares;
  }
  if (!drafts_in_place) return;
  const Scenario drafting = drafting_side(scenario);
  decode_drafting_ = make(drafting, drafting.placement.decode, first_of_decode);
}

const PoolModel& DeploymentModel::pool_named(const std::string& name) const {
  if (name == "draft") return *draft_;
  return name == "prefill" || decode_ == nullptr ? *prefill_ : *decode_;
}

Picoseconds DeploymentModel::time_alone() {
  const Traffic& traffic = scenario_.traffic;
  const std::int64_t prompt_tokens = traffic.shared_prefix_tokens + traffic.prompt_tokens;
  PoolModel& decode = decode_ ? *decode_ : *prefill_;
  Batch prompt, token;
  prompt.slices.push_back({.request = 0, .context = 0, .new_tokens = prompt_tokens});
  token.slices.push_back({.request = 0, .context = prompt_tokens, .new_tokens = 1});
  // Static chips take prompt tokens one behind the other.
  const Picoseconds first = prefill_->is_static() ? prefill_->floor(token).period * prompt_tokens +
                                                        prefill_->floor(token).latency
                                                  : prefill_->floor(prompt).latency;
  Picoseconds further = decode.floor(token).latency * (traffic.output_tokens - 1);
  if (scenario_.placement.speculation.is_on()) further = time_of_rounds(token);
  return first + further;
}

// Every round yields its mean number of tokens; the hand-overs are left out.
Picoseconds DeploymentModel::time_of_rounds(const Batch& token) {
  const Speculation& speculation = scenario_.placement.speculation;
  Batch drafts = token;
  drafts.slices.front().new_tokens += speculation.drafted();
  drafts.slices.front().verified = speculation.drafted();
  drafts.slices.front().in_round = true;
  PoolModel& verifier = decode_ ? *decode_ : *prefill_;
  PoolModel& drafter = draft_ ? *draft_ : *drafting_of(verifier);
  const Picoseconds round =
      drafter.floor(token).latency * speculation.drafts + verifier.floor(drafts).latency;
  const double rounds =
      static_cast<double>(scenario_.traffic.output_tokens - 1) / expected_tokens(speculation);
  return from_seconds(to_seconds(round) * rounds);
}

}  // namespace tandem
