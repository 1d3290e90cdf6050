#include "sim/service/replica.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "sim/core/timeline.hpp"
#include "sim/service/perturbation.hpp"
#include "sim/service/speculation/draft_passes.hpp"
#include "sim/service/tier_passes.hpp"

namespace tandem {
namespace {

std::string label_of(const Batch& batch) {
  std::int64_t decodes = 0;
  for (const SequenceSlice& slice : batch.slices) decodes += slice.is_decode() ? 1 : 0;
  const std::int64_t prompt = batch.tokens() - decodes;
  if (prompt == 0) return fmt::format("decode {}", decodes);
  if (decodes == 0) return fmt::format("prefill {}", prompt);
  return fmt::format("prefill {} + decode {}", prompt, decodes);
}

}  // namespace

Picoseconds PipelineClock::enter(Picoseconds earliest, const StepEstimate& estimate) {
  Picoseconds at = earliest;
  last_pass_.clear();
  for (std::size_t i = 0; i < estimate.stations.size(); ++i) {
    const Picoseconds start = std::max(at, free_[i]);
    free_[i] = start + estimate.stations[i];
    busy_[i] += estimate.stations[i];
    last_pass_.push_back({start, free_[i]});
    at = free_[i] + estimate.hops[i];
  }
  return at;
}

Picoseconds Replica::run_pass(const Batch& batch, Picoseconds now, StepEstimate& estimate) {
  if (setup_.tiers != nullptr) {
    estimate = setup_.tiers->execute(batch, setup_.sampler);
  } else {
    estimate = setup_.estimator->execute(batch);
    if (setup_.sampler != nullptr) setup_.sampler->offer(*setup_.estimator, batch, estimate);
  }
  drafting_before_ += drafting_;
  if (setup_.drafts != nullptr) setup_.drafts->add_to(batch, setup_.sampler, estimate);
  if (setup_.perturbation != nullptr) setup_.perturbation->apply(estimate);
  drafting_ = estimate.drafting;
  floor_busy_ += estimate.floor_period;
  const auto sequences = static_cast<std::int64_t>(batch.slices.size());
  const Picoseconds begin = host_.begin(now, sequences);
  const Picoseconds end = pipeline_.enter(begin, estimate);
  host_.ran(begin, end);
  if (setup_.tiers != nullptr) setup_.tiers->account(end - now);
  if (setup_.timeline != nullptr) record_pass(batch, end - estimate.latency(), end);
  // Tokens leave before the drafts behind them are made; KV of prompts leaves with that of drafts.
  return setup_.role == Role::Prefill ? end : end - estimate.drafting;
}

// Spans of a track may not overlap: passes that are in a pipeline together get tracks of their own.
void Replica::record_pass(const Batch& batch, Picoseconds start, Picoseconds end) {
  std::size_t lane = 0;
  while (lane < lane_ends_.size() && lane_ends_[lane] > start) ++lane;
  if (lane == lane_ends_.size()) lane_ends_.emplace_back();
  lane_ends_[lane] = end;
  std::string name = fmt::format("replica {}", setup_.index);
  if (lane > 0) name += fmt::format(", pass {} in flight", lane + 1);
  const auto track = setup_.timeline->track(setup_.name + " steps", name);
  setup_.timeline->span(track, label_of(batch), start, end);
  const bool has_prompts = std::any_of(batch.slices.begin(), batch.slices.end(), is_prompt);
  std::int64_t& shown = shown_inside_[has_prompts];
  if (setup_.tiers != nullptr || setup_.index > 0 || batch.tokens() < 2 * shown) return;
  shown = batch.tokens();
  record_inside(batch, start);
}

void Replica::record_inside(const Batch& batch, Picoseconds start) {
  const PassTrace trace = setup_.estimator->trace(batch);
  if (trace.size() < 2) return;  // a chip by itself: the pass says all
  const std::string group = fmt::format("{} within, {}", setup_.name, label_of(batch));
  for (const PassSpan& span : trace) {
    const auto track = setup_.timeline->track(group, span.track);
    setup_.timeline->span(track, span.label, start + span.start, start + span.end);
  }
}

void Replica::report_kv(Request& request, const SequenceSlice& slice, Picoseconds now) {
  prompt_tokens_ += std::clamp<std::int64_t>(request.prompt - slice.context, 0, slice.new_tokens);
  if (setup_.role != Role::Prefill) return;
  setup_.sink->writes_kv(request, {slice.context, slice.new_tokens, pipeline_.last_pass()}, now);
}

void Replica::want_issue(Picoseconds at) {
  if (planned_issue_ && *planned_issue_ <= at) return;
  planned_issue_ = at;
  setup_.agenda->wake(*this, at, Phase::Issue);
}

void Replica::note_issue(Picoseconds now) {
  if (planned_issue_ && *planned_issue_ <= now) planned_issue_.reset();
}

RoundFloor Replica::floor_of_round(const StepEstimate& estimate) const {
  if (setup_.role == Role::Prefill) return {estimate.floor_latency, Picoseconds(0)};
  return {estimate.floor_latency - estimate.floor_drafting, estimate.floor_drafting};
}

bool Replica::emit_round(Request& request, Picoseconds now, const RoundFloor& of_round) {
  Picoseconds floor = of_round.tokens;
  DraftPasses& drafts = *setup_.drafts;
  drafts.account(request, now, drafting_before_);
  const std::int64_t tokens = drafts.tokens_of_round(request.id, request.unverified);
  request.unverified = 0;
  for (std::int64_t i = 0; i < tokens; ++i) {
    if (emit_token(request, now, floor)) {
      drafts.forget(request.id);
      return true;
    }
    floor = Picoseconds(0);  // they come together
  }
  request.floor_after_first += of_round.drafts;
  request.unverified = drafts.drafted();
  request.round_tokens = request.unverified + 1;
  return false;
}

bool Replica::emit_token(Request& request, Picoseconds now, Picoseconds floor) {
  (request.generated == 0 ? request.floor_to_first : request.floor_after_first) += floor;
  ++request.generated;
  setup_.sink->token(request, now);
  if (request.is_done()) {
    --load_;
    setup_.sink->finished(request, now);
    return true;
  }
  if (setup_.role == Role::Prefill) {
    setup_.sink->prefilled(request, now);
    return true;
  }
  return false;
}

}  // namespace tandem
