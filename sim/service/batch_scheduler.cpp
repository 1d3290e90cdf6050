#include "sim/service/batch_scheduler.hpp"

#include <algorithm>
#include <cassert>
#include <utility>

#include "sim/service/policies/sglang_scheduler.hpp"
#include "sim/service/policies/static_scheduler.hpp"
#include "sim/service/policies/vllm_scheduler.hpp"

namespace tandem {

std::unique_ptr<BatchScheduler> make_scheduler(const Serving& serving, std::int64_t kv_blocks) {
  if (serving.policy == "sglang") return std::make_unique<SglangScheduler>(serving, kv_blocks);
  if (serving.policy == "static") return std::make_unique<StaticScheduler>(serving, kv_blocks);
  return std::make_unique<VllmScheduler>(serving, kv_blocks);
}

void BatchScheduler::add(Request& request, bool comes_with_kv) {
  waiting_.push_back({.request = &request, .comes_with_kv = comes_with_kv});
}

bool BatchScheduler::has_sequence_to_spare() const {
  return std::ssize(running_) + std::ssize(inbound_) + std::ssize(loading_) <
         serving_.max_sequences;
}

std::int64_t BatchScheduler::needed_tokens(const ScheduledSequence& sequence) {
  return sequence.is_paused ? 0 : sequence.request->known_tokens() - sequence.computed;
}

// The whole shared blocks of the prompt.
void BatchScheduler::name_prefix(const Request& request, SequenceSlice& slice) const {
  if (request.shared.empty() || !slice.is_decode()) return;
  const SharedPart& part = request.shared.back();
  slice.prefix = part.key;
  slice.prefix_tokens = part.end / serving_.kv_block_tokens * serving_.kv_block_tokens;
}

void BatchScheduler::take(ScheduledSequence& sequence, std::int64_t tokens, ScheduledStep& step) {
  step.batch.slices.push_back(slice_of(*sequence.request, sequence.computed, tokens));
  const bool may_share = serving_.cascade_attention != CascadeAttention::Off;
  if (may_share) name_prefix(*sequence.request, step.batch.slices.back());
  step.sequences.push_back(&sequence);
  sequence.computed += tokens;
  ++sequence.in_flight;
}

void BatchScheduler::start(Sequences::iterator waiting, std::int64_t tokens, ScheduledStep& step) {
  running_.splice(running_.end(), waiting_, waiting);
  take(*waiting, tokens, step);
}

bool BatchScheduler::reserve(Sequences::iterator waiting, ScheduledStep& step) {
  Request& request = *waiting->request;
  const std::int64_t here = request.shared.empty() ? 0 : kv_.tokens_here(request);
  if (!kv_.make_room(*waiting, request.known_tokens())) return false;
  request.kv_at_decode = std::min(here, request.prompt);
  waiting->computed = waiting->request->prompt;
  step.reserved.push_back(waiting->request);
  inbound_.splice(inbound_.end(), waiting_, waiting);
  return true;
}

void BatchScheduler::use_below(const CacheBelow& below) {
  below_ = &below;
  kv_.note_dropped();
}

BatchScheduler::Below BatchScheduler::load_from_below(Sequences::iterator waiting,
                                                      ScheduledStep& step) {
  Request& request = *waiting->request;
  if (below_ == nullptr || waiting->has_loaded || waiting->blocks > 0) return Below::Nothing;
  const std::int64_t from = waiting->computed / kv_.block_tokens();
  const std::int64_t most = (request.known_tokens() - 1) / kv_.block_tokens();
  const std::int64_t to = from + below_->blocks_below(request, from, most);
  if (to == from) return Below::Nothing;
  if (!kv_.make_room(*waiting, to * kv_.block_tokens())) return Below::NoRoom;
  waiting->computed = to * kv_.block_tokens();
  waiting->has_loaded = true;
  if (request.generated == 0) request.cached_tokens = waiting->computed;
  step.loads.push_back({&request, from, to});
  loading_.splice(loading_.end(), waiting_, waiting);
  return Below::Loads;
}

void BatchScheduler::loaded(Request& request) {
  const auto it = find(loading_, request);
  assert(it != loading_.end());
  kv_.fill(*it, it->computed);
  running_.splice(running_.end(), loading_, it);
}

bool BatchScheduler::preempt_behind(const ScheduledSequence& needy) {
  for (auto victim = running_.end(); victim != running_.begin();) {
    --victim;
    if (&*victim == &needy) break;
    if (victim->in_flight > 0) continue;
    preempt(victim);
    return true;
  }
  return false;
}

bool BatchScheduler::preempt_younger(const ScheduledSequence& needy) {
  if (needy.request->round_tokens == 0 || needy.request->generated == 0) return false;
  for (auto victim = running_.end(); victim != running_.begin();) {
    --victim;
    if (victim->in_flight > 0 || victim->request->id <= needy.request->id) continue;
    preempt(victim);
    return true;
  }
  return false;
}

void BatchScheduler::preempt(Sequences::iterator victim) {
  kv_.drop(*victim, kept_of(*victim));
  ++victim->request->preemptions;
  preempted_.push_back(victim->request);
  victim->computed = 0;
  victim->comes_with_kv = false;
  victim->has_loaded = false;
  if (victim->is_paused) {
    dropped_.splice(dropped_.begin(), running_, victim);
  } else {
    queue_again(victim);
  }
}

void BatchScheduler::begin_behind_shared(ScheduledSequence& sequence) {
  Request& request = *sequence.request;
  if (request.shared.empty() || sequence.blocks > 0) return;
  sequence.computed = kv_.tokens_here(request);
  if (request.generated > 0) return;
  request.cached_tokens = sequence.computed;
  if (request.group >= 0) request.tokens_under_way = kv_.tokens_under_way(request);
}

ForkOutcome BatchScheduler::fork(Request& branch) {
  ScheduledSequence sequence{.request = &branch};
  ForkOutcome outcome = ForkOutcome::Runs;
  if (!has_sequence_to_spare()) {
    outcome = ForkOutcome::WaitsForSequence;
  } else if (!kv_.grow(sequence, branch.prompt)) {
    outcome = ForkOutcome::WaitsForKv;
  }
  if (outcome == ForkOutcome::Runs) {
    sequence.computed = branch.prompt;
    running_.push_back(sequence);
    return outcome;
  }
  const auto younger = std::find_if(waiting_.begin(), waiting_.end(), [&](const auto& other) {
    return other.request->id > branch.id;
  });
  waiting_.insert(younger, sequence);
  return outcome;
}

// New requests stand behind those that were noted already.
void BatchScheduler::note_waiting(const ScheduledStep& step) {
  ForkOutcome cause = ForkOutcome::WaitsForBatch;
  if (kv_.was_short()) cause = ForkOutcome::WaitsForKv;
  if (step.batch.tokens() >= serving_.max_batch_tokens) cause = ForkOutcome::WaitsForStep;
  if (!has_sequence_to_spare()) cause = ForkOutcome::WaitsForSequence;
  for (auto at = waiting_.rbegin(); at != waiting_.rend(); ++at) {
    Request& request = *at->request;
    if (request.group < 0 || request.waited != ForkOutcome::Runs) return;
    if (request.generated == 0 && request.preemptions == 0) request.waited = cause;
  }
}

ScheduledStep BatchScheduler::schedule() {
  ScheduledStep step;
  kv_.forget_shortage();
  plan(step);
  note_waiting(step);
  step.preempted = std::exchange(preempted_, {});
  step.dropped = kv_.take_dropped();
  return step;
}

bool BatchScheduler::complete(ScheduledSequence& sequence, const SequenceSlice& slice) {
  assert(sequence.in_flight > 0);
  --sequence.in_flight;
  const std::int64_t known = sequence.request->known_tokens();
  return slice.wants_logits && slice.context + slice.new_tokens == known;
}

void BatchScheduler::take_back(ScheduledSequence& sequence) {
  const Request& request = *sequence.request;
  sequence.computed = std::min(sequence.computed, request.known_tokens() - 1 - request.unverified);
}

BatchScheduler::Sequences::iterator BatchScheduler::find(Sequences& list, const Request& request) {
  return std::find_if(list.begin(), list.end(), [&](const ScheduledSequence& candidate) {
    return candidate.request == &request;
  });
}

void BatchScheduler::arrive(Request& request) {
  const auto it = find(inbound_, request);
  assert(it != inbound_.end());
  kv_.fill(*it, it->computed);
  running_.splice(running_.end(), inbound_, it);
}

void BatchScheduler::pause(Request& request) {
  const auto it = find(running_, request);
  assert(it != running_.end());
  it->is_paused = true;
}

void BatchScheduler::resume(Request& request, std::int64_t tokens) {
  const bool has_room = find(running_, request) != running_.end();
  Sequences& list = has_room ? running_ : dropped_;
  const auto it = find(list, request);
  assert(it != list.end() && it->is_paused);
  it->is_paused = false;
  it->computed = std::min(it->computed, tokens);
  if (!has_room) waiting_.splice(waiting_.begin(), dropped_, it);
}

void BatchScheduler::finish(Request& request) {
  for (Sequences* list : {&running_, &held_, &dropped_}) {
    const auto it = find(*list, request);
    if (it == list->end()) continue;
    kv_.finish(*it);
    list->erase(it);
    return;
  }
  assert(false);
}

void BatchScheduler::hold(Request& request) {
  const auto it = find(running_, request);
  assert(it != running_.end());
  held_.splice(held_.end(), running_, it);
}

}  // namespace tandem
