#include "sim/service/batch_scheduler.hpp"

#include <algorithm>
#include <cassert>
#include <iterator>
#include <utility>

namespace tandem {

void BatchScheduler::add(Request& request, bool comes_with_kv) {
  waiting_.push_back({.request = &request, .comes_with_kv = comes_with_kv});
}

std::int64_t BatchScheduler::needed_blocks(std::int64_t tokens) const {
  return (tokens + limits_.block_tokens - 1) / limits_.block_tokens;
}

bool BatchScheduler::has_sequence_to_spare() const {
  return static_cast<std::int64_t>(running_.size() + inbound_.size()) < limits_.max_sequences;
}

bool BatchScheduler::allocate(ScheduledSequence& sequence, std::int64_t tokens) {
  if (limits_.eviction.is_on()) return allocate_kept(sequence, tokens);
  const Request& request = *sequence.request;
  const std::int64_t blocks = needed_blocks(tokens);
  if (blocks <= sequence.blocks) return true;
  const std::int64_t more = shared_.missing(request, sequence.blocks, blocks);
  while (used_blocks_ + shared_.idle() + more > limits_.kv_blocks) {
    if (!shared_.evict(request)) return false;
  }
  used_blocks_ += more + shared_.take(request, sequence.blocks, blocks);
  sequence.blocks = blocks;
  peak_blocks_ = std::max(peak_blocks_, used_blocks_);
  return true;
}

// What a pass before it evicted is free again; nothing is shared.
bool BatchScheduler::allocate_kept(ScheduledSequence& sequence, std::int64_t tokens) {
  const std::int64_t fresh = tokens - sequence.computed;
  const std::int64_t cached = limits_.eviction.kept(sequence.computed) + fresh;
  const std::int64_t more = needed_blocks(cached) - sequence.blocks;
  if (used_blocks_ + more > limits_.kv_blocks) return false;
  used_blocks_ += more;
  sequence.blocks += more;
  peak_blocks_ = std::max(peak_blocks_, used_blocks_);
  return true;
}

// The whole shared blocks of the prompt.
void BatchScheduler::name_prefix(const Request& request, SequenceSlice& slice) const {
  if (request.shared.empty() || !slice.is_decode()) return;
  const SharedPart& part = request.shared.back();
  slice.prefix = part.key;
  slice.prefix_tokens = part.end / limits_.block_tokens * limits_.block_tokens;
}

void BatchScheduler::take(ScheduledSequence& sequence, std::int64_t tokens, ScheduledStep& step) {
  step.batch.slices.push_back(slice_of(*sequence.request, sequence.computed, tokens));
  if (limits_.cascade_attention) name_prefix(*sequence.request, step.batch.slices.back());
  step.sequences.push_back(&sequence);
  sequence.computed += tokens;
  ++sequence.in_flight;
}

// Frees the last running sequence that no pass holds. False when that is `needy` itself or nobody.
bool BatchScheduler::preempt_for(const ScheduledSequence& needy) {
  for (auto victim = running_.end(); victim != running_.begin();) {
    --victim;
    if (&*victim == &needy) break;
    if (victim->in_flight > 0) continue;
    drop(victim);
    return true;
  }
  return false;
}

// The same for a request of speculative decoding that is past its prompt, of all that arrived after
// it: those before it in the list may wait for other pools while it would wait for them.
bool BatchScheduler::preempt_younger(const ScheduledSequence& needy) {
  if (needy.request->round_tokens == 0 || needy.request->generated == 0) return false;
  for (auto victim = running_.end(); victim != running_.begin();) {
    --victim;
    if (victim->in_flight > 0 || victim->request->id <= needy.request->id) continue;
    drop(victim);
    return true;
  }
  return false;
}

// Takes the blocks of a running sequence: its KV is recomputed, also what was sent to it.
void BatchScheduler::drop(Sequences::iterator victim) {
  used_blocks_ -= shared_.release(*victim->request, victim->blocks);
  ++victim->request->preemptions;
  preempted_.push_back(victim->request);
  victim->blocks = 0;
  victim->computed = 0;
  victim->comes_with_kv = false;
  Sequences& target = victim->is_paused ? dropped_ : waiting_;
  target.splice(target.begin(), running_, victim);
}

// Returns whether the queue may be served too: nothing was preempted.
bool BatchScheduler::schedule_running(ScheduledStep& step, std::int64_t& budget) {
  bool has_preempted = false;
  for (auto it = running_.begin(); it != running_.end() && budget > 0; ++it) {
    if (it->is_paused) continue;
    // Sampling of the token before may still be under way: then there is nothing to compute yet.
    const std::int64_t tokens = std::min(it->request->known_tokens() - it->computed, budget);
    if (tokens <= 0) continue;
    bool has_room = allocate(*it, it->computed + tokens);
    while (!has_room && (preempt_for(*it) || preempt_younger(*it))) {
      has_preempted = true;
      has_room = allocate(*it, it->computed + tokens);
    }
    if (!has_room) {
      has_preempted = true;
      if (it->in_flight == 0 && std::next(it) == running_.end() && it != running_.begin()) {
        drop(it);
      }
      break;
    }
    take(*it, tokens, step);
    budget -= tokens;
  }
  return !has_preempted;
}

void BatchScheduler::schedule_waiting(ScheduledStep& step, std::int64_t& budget) {
  while (!waiting_.empty() && budget > 0) {
    ScheduledSequence& head = waiting_.front();
    if (!has_sequence_to_spare() && !preempt_younger(head)) return;
    if (head.comes_with_kv) {
      if (!allocate(head, head.request->known_tokens())) return;
      head.computed = head.request->prompt;
      step.reserved.push_back(head.request);
      inbound_.splice(inbound_.end(), waiting_, waiting_.begin());
      continue;
    }
    if (head.blocks == 0) begin_behind_shared(head);
    const std::int64_t tokens = std::min(head.request->known_tokens() - head.computed, budget);
    while (!allocate(head, head.computed + tokens)) {
      if (!preempt_younger(head)) return;
    }
    running_.splice(running_.end(), waiting_, find(waiting_, *head.request));
    take(running_.back(), tokens, step);
    budget -= tokens;
  }
}

void BatchScheduler::begin_behind_shared(ScheduledSequence& sequence) {
  Request& request = *sequence.request;
  if (request.shared.empty()) return;
  sequence.computed = shared_.tokens_here(request);
  if (request.generated == 0) request.cached_tokens = sequence.computed;
}

ForkOutcome BatchScheduler::fork(Request& branch) {
  ScheduledSequence sequence{.request = &branch};
  ForkOutcome outcome = ForkOutcome::Runs;
  if (!has_sequence_to_spare()) {
    outcome = ForkOutcome::WaitsForSequence;
  } else if (!allocate(sequence, branch.prompt)) {
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

ScheduledStep BatchScheduler::schedule() {
  ScheduledStep step;
  std::int64_t budget = limits_.max_batch_tokens;
  if (schedule_running(step, budget)) schedule_waiting(step, budget);
  step.preempted = std::exchange(preempted_, {});
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
    used_blocks_ -= shared_.release(request, it->blocks);
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
