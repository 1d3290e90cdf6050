#include "sim/service/batch_scheduler.hpp"

#include <algorithm>
#include <cassert>
#include <iterator>

namespace tandem {

void BatchScheduler::add(Request& request, bool comes_with_kv) {
  waiting_.push_back({.request = &request, .comes_with_kv = comes_with_kv});
}

std::int64_t BatchScheduler::needed_blocks(std::int64_t tokens) const {
  return (tokens + limits_.block_tokens - 1) / limits_.block_tokens;
}

bool BatchScheduler::allocate(ScheduledSequence& sequence, std::int64_t tokens) {
  const std::int64_t more = needed_blocks(tokens) - sequence.blocks;
  if (more <= 0) return true;
  if (used_blocks_ + more > limits_.kv_blocks) return false;
  used_blocks_ += more;
  sequence.blocks += more;
  peak_blocks_ = std::max(peak_blocks_, used_blocks_);
  return true;
}

void BatchScheduler::take(ScheduledSequence& sequence, std::int64_t tokens, ScheduledStep& step) {
  step.batch.slices.push_back(
      {.request = sequence.request->id,
       .context = sequence.computed,
       .new_tokens = tokens,
       .wants_logits = sequence.computed + tokens == sequence.request->known_tokens()});
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
    used_blocks_ -= victim->blocks;
    ++victim->request->preemptions;
    victim->blocks = 0;
    victim->computed = 0;
    victim->comes_with_kv = false;  // what was sent is gone: it is recomputed here
    waiting_.splice(waiting_.begin(), running_, victim);
    return true;
  }
  return false;
}

// Returns whether the queue may be served too: nothing was preempted.
bool BatchScheduler::schedule_running(ScheduledStep& step, std::int64_t& budget) {
  bool has_preempted = false;
  for (auto it = running_.begin(); it != running_.end() && budget > 0; ++it) {
    // Sampling of the token before may still be under way: then there is nothing to compute yet.
    const std::int64_t tokens = std::min(it->request->known_tokens() - it->computed, budget);
    if (tokens <= 0) continue;
    bool has_room = allocate(*it, it->computed + tokens);
    while (!has_room && preempt_for(*it)) {
      has_preempted = true;
      has_room = allocate(*it, it->computed + tokens);
    }
    if (!has_room) {
      has_preempted = true;
      if (it->in_flight == 0 && std::next(it) == running_.end() && it != running_.begin()) {
        used_blocks_ -= it->blocks;
        ++it->request->preemptions;
        it->blocks = 0;
        it->computed = 0;
        it->comes_with_kv = false;
        waiting_.splice(waiting_.begin(), running_, it);
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
    const auto admitted = static_cast<std::int64_t>(running_.size() + inbound_.size());
    if (admitted >= limits_.max_sequences) return;
    ScheduledSequence& head = waiting_.front();
    if (head.comes_with_kv) {
      if (!allocate(head, head.request->known_tokens())) return;
      head.computed = head.request->prompt;
      step.reserved.push_back(head.request);
      inbound_.splice(inbound_.end(), waiting_, waiting_.begin());
      continue;
    }
    const std::int64_t tokens = std::min(head.request->known_tokens() - head.computed, budget);
    if (!allocate(head, head.computed + tokens)) return;
    running_.splice(running_.end(), waiting_, waiting_.begin());
    take(running_.back(), tokens, step);
    budget -= tokens;
  }
}

ScheduledStep BatchScheduler::schedule() {
  ScheduledStep step;
  std::int64_t budget = limits_.max_batch_tokens;
  if (schedule_running(step, budget)) schedule_waiting(step, budget);
  return step;
}

bool BatchScheduler::complete(ScheduledSequence& sequence, const SequenceSlice& slice) {
  assert(sequence.in_flight > 0);
  --sequence.in_flight;
  return slice.wants_logits;
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

void BatchScheduler::finish(Request& request) {
  for (Sequences* list : {&running_, &held_}) {
    const auto it = find(*list, request);
    if (it == list->end()) continue;
    used_blocks_ -= it->blocks;
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
