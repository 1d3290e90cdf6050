#include "sim/service/streaming_replica.hpp"

#include <algorithm>

namespace tandem {

StreamingReplica::StreamingReplica(const ReplicaSetup& setup)
    : Replica(setup, setup.estimator->pool().stations().size()),
      slots_(setup.estimator->pool().kv_room().sequences) {}

void StreamingReplica::submit(Request& request, Picoseconds now) {
  ++load_;
  request.may_find = false;
  waiting_.push_back({&request, false, now});
  admit(now);
  note_occupancy(now);
}

// A branch copies the prompt's KV into a slot of its own, or takes over the slot of the first of
// its group that is done: behind the prompt it is written anew.
ForkOutcome StreamingReplica::fork(Request& parent, Request& branch, Picoseconds now) {
  ++load_;
  if (used_ == slots_) {
    branches_[parent.group].push_back(&branch);
    return ForkOutcome::WaitsForSequence;
  }
  peak_ = std::max(peak_, ++used_);
  note_occupancy(now);
  ready_.push_back({&branch, branch.prompt});
  want_issue(now);
  return ForkOutcome::Runs;
}

void StreamingReplica::offer(Request& request, Picoseconds now) {
  ++load_;
  waiting_.push_back({&request, true, now});
  admit(now);
  note_occupancy(now);
}

void StreamingReplica::arrive(Request& request, Picoseconds now) {
  ready_.push_back({&request, request.prompt});
  want_issue(now);
}

void StreamingReplica::resume(Request& request, std::int64_t tokens, Picoseconds now) {
  ready_.push_back({&request, tokens});
  want_issue(now);
}

void StreamingReplica::release(Request& request, Picoseconds now) {
  --load_;
  free_slot(request, now);
}

void StreamingReplica::free_slot(const Request& request, Picoseconds now) {
  const auto branches = branches_.find(request.group);
  if (branches != branches_.end() && !branches->second.empty()) {
    Request& next = *branches->second.front();
    branches->second.pop_front();
    ready_.push_back({&next, next.prompt});
    want_issue(now);
    return;
  }
  --used_;
  admit(now);
  note_occupancy(now);
}

void StreamingReplica::admit(Picoseconds now) {
  while (!waiting_.empty() && used_ < slots_) {
    const Waiting next = waiting_.front();
    waiting_.pop_front();
    peak_ = std::max(peak_, ++used_);
    if (next.comes_with_kv) {
      setup_.sink->reserved(*next.request, *this, now);
    } else {
      if (next.since < now) next.request->waited = ForkOutcome::WaitsForSequence;
      ready_.push_back({next.request, 0});
      want_issue(now);
    }
  }
}

void StreamingReplica::act(Picoseconds now, Phase phase) {
  if (phase == Phase::Complete) {
    land(now);
    go_on(now);
  } else if (phase == Phase::Issue) {
    note_issue(now);
    issue(now);
  }
}

// Tokens that the replica could compute now: those of prompts that wait, one of each request that
// decodes, also of those on their way.
std::int64_t StreamingReplica::tokens_at_hand() const {
  auto tokens = static_cast<std::int64_t>(landings_.size());
  for (const Ready& ready : ready_) tokens += ready.request->known_tokens() - ready.context;
  return tokens;
}

// Wide passes compute more tokens per second, but every token takes longer from station to station.
// Of the widths that the program has, the one with which all tokens at hand are through first.
std::int64_t StreamingReplica::width_of_pass() {
  const std::int64_t tokens = tokens_at_hand();
  const std::int64_t context = ready_.front().context;
  constexpr std::size_t most_kept = 10'000;
  if (widths_.size() >= most_kept) widths_.clear();
  const auto [known, is_new] = widths_.try_emplace({context, tokens}, 1);
  if (is_new) known->second = best_width(context, tokens);
  return known->second;
}

std::int64_t StreamingReplica::best_width(std::int64_t context, std::int64_t tokens) {
  std::int64_t best = 1;
  Picoseconds least{0};
  for (std::int64_t width = 1; width <= setup_.estimator->pool().chip().batch_limit(); width *= 2) {
    Batch pass;
    for (std::int64_t i = 0; i < width; ++i) {
      pass.slices.push_back({.request = i, .context = context, .new_tokens = 1});
    }
    const StepEstimate estimate = setup_.estimator->expect(pass);
    const std::int64_t further = (tokens + width - 1) / width - 1;
    const Picoseconds through = estimate.latency() + estimate.period() * further;
    if (width > 1 && through >= least) break;
    best = width;
    least = through;
    if (width >= tokens) break;
  }
  return best;
}

// Tokens of the requests that wait, in their order: one of a request that decodes, of a prompt as
// many as its KV block has room for. A round of drafts made here is never parted: what drafts
// follows it as a whole.
std::vector<StreamingReplica::Ready> StreamingReplica::take_pass(Batch& batch) {
  const std::int64_t block = setup_.estimator->pool().chip().context_granularity();
  std::int64_t room = width_of_pass();
  std::vector<Ready> taken;
  while (room > 0 && !ready_.empty()) {
    const Ready next = ready_.front();
    ready_.pop_front();
    const std::int64_t left = next.request->known_tokens() - next.context;
    const bool is_round = setup_.drafts != nullptr && next.request->unverified > 0;
    const std::int64_t tokens =
        is_round ? left : std::min({room, left, block - next.context % block});
    batch.slices.push_back(slice_of(*next.request, next.context, tokens));
    taken.push_back(next);
    room -= tokens;
  }
  return taken;
}

// One pass enters when the first station is free; the next wish follows at the time it frees.
void StreamingReplica::issue(Picoseconds now) {
  if (ready_.empty()) return;
  if (pipeline_.first_free() > now) {
    want_issue(pipeline_.first_free());
    return;
  }
  Batch batch;
  const std::vector<Ready> taken = take_pass(batch);
  StepEstimate estimate;
  const Picoseconds end = run_pass(batch, now, estimate);
  for (std::size_t i = 0; i < taken.size(); ++i) {
    Request& request = *taken[i].request;
    report_kv(request, batch.slices[i], now);
    const std::int64_t computed = taken[i].context + batch.slices[i].new_tokens;
    if (computed == request.known_tokens()) {
      const bool is_last = setup_.role == Role::Prefill;
      landings_.push_back(
          {end, &request, floor_of_round(estimate), is_last ? Picoseconds(0) : estimate.drafting});
      setup_.agenda->wake(*this, end, Phase::Complete);
      continue;
    }
    // The next known tokens may follow at once: stations compute a request's tokens in order. Of
    // the floor only the distance to the next pass counts; the last token adds the latency.
    (request.generated == 0 ? request.floor_to_first : request.floor_after_first) +=
        estimate.floor_period;
    ready_.push_back({&request, computed});
  }
  if (!ready_.empty()) want_issue(pipeline_.first_free());
}

void StreamingReplica::land(Picoseconds now) {
  while (!landings_.empty() && landings_.front().end <= now) {
    const Landing landing = landings_.front();
    landings_.pop_front();
    Request& request = *landing.request;
    const bool leaves = setup_.drafts == nullptr ? emit_token(request, now, landing.floor.tokens)
                                                 : emit_round(request, now, landing.floor);
    if (!leaves) {
      if (request.waits) continue;
      drafting_now_.push_back(landing);
      drafting_now_.back().end += landing.drafts;
      if (landing.drafts.count() > 0) {
        setup_.agenda->wake(*this, drafting_now_.back().end, Phase::Complete);
      }
    } else if (request.is_done()) {
      free_slot(request, now);
    }
  }
}

void StreamingReplica::go_on(Picoseconds now) {
  while (!drafting_now_.empty() && drafting_now_.front().end <= now) {
    Request& request = *drafting_now_.front().request;
    drafting_now_.pop_front();
    ready_.push_back({&request, request.known_tokens() - 1 - request.unverified});
    want_issue(now);
  }
}

Occupancy StreamingReplica::occupancy() const {
  return {std::ssize(waiting_), used_, used_};
}

double StreamingReplica::kv_peak() const {
  return static_cast<double>(peak_) / static_cast<double>(std::max<std::int64_t>(1, slots_));
}

}  // namespace tandem
