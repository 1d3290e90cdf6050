// The chips behind a service: which pools there are, and what they are to hold.
#include <fmt/format.h>

#include "sim/core/diagnostics.hpp"
#include "sim/service/service.hpp"
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

ServiceModel::ServiceModel(const Scenario& scenario, const Catalogue& catalogue,
                           NetworkFactory make_network, std::optional<std::string> store)
    : scenario_(scenario),
      make_network_(std::move(make_network)),
      store_(store ? std::optional<std::filesystem::path>(*store) : std::nullopt) {
  const Placement& placement = scenario.placement;
  const auto make = [&](const Scenario& side, const PoolPlacement& pool, std::int64_t taken,
                        LayerDuty duty = LayerDuty::Whole) {
    return std::make_unique<PoolModel>(side, pool, taken, catalogue, make_network_, store_, duty);
  };
  const Scenario verifying = placement.speculation.is_on() ? verifying_side(scenario) : scenario;
  const bool drafts_by_network = placement.drafts_by_network();
  if (placement.speculation.is_on()) require_acceptance(placement);
  prefill_ = make(verifying, verifying.placement.prefill, 0);
  if (drafts_by_network) {
    const Scenario drafting = drafting_side(scenario);
    prefill_drafting_ = make(drafting, drafting.placement.prefill, 0);
  }
  if (placement.mode == PlacementMode::Monolithic) return;
  // Pools of one group of chips stand side by side.
  const auto taken_for = [&](const PoolPlacement& other) {
    return other.pool == placement.prefill.pool
               ? prefill_->chips_per_replica() * placement.prefill.replicas
               : 0;
  };
  if (placement.has_drafter()) {
    const Scenario drafting = drafting_side(scenario);
    draft_ = make(drafting, drafting.placement.draft, taken_for(placement.draft));
    return;
  }
  decode_ = make(verifying, verifying.placement.decode, taken_for(placement.decode),
                 placement.has_ffn() ? LayerDuty::Mixers : LayerDuty::Whole);
  if (!drafts_by_network) return;
  const Scenario drafting = drafting_side(scenario);
  decode_drafting_ = make(drafting, drafting.placement.decode, taken_for(placement.decode));
}

ServiceModel::~ServiceModel() = default;

const PoolModel& ServiceModel::pool_named(const std::string& name) const {
  if (name == "draft") return *draft_;
  return name == "prefill" || decode_ == nullptr ? *prefill_ : *decode_;
}

Picoseconds ServiceModel::time_alone() {
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
Picoseconds ServiceModel::time_of_rounds(const Batch& token) {
  const Speculation& speculation = scenario_.placement.speculation;
  Batch drafts = token;
  drafts.slices.front().new_tokens += speculation.drafted();
  drafts.slices.front().verified = speculation.drafted();
  drafts.slices.front().in_round = true;
  PoolModel& verifier = decode_ ? *decode_ : *prefill_;
  PoolModel* drafter = draft_ ? draft_.get() : drafting_of(verifier);
  Picoseconds round = verifier.floor(drafts).latency;
  if (drafter != nullptr) round += drafter->floor(token).latency * speculation.drafts;
  const double rounds =
      static_cast<double>(scenario_.traffic.output_tokens - 1) / expected_tokens(speculation);
  return from_seconds(to_seconds(round) * rounds);
}

}  // namespace tandem
