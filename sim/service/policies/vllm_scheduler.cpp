#include "sim/service/policies/vllm_scheduler.hpp"

#include <algorithm>
#include <iterator>
#include <tuple>
#include <vector>

namespace tandem {
namespace {

/// Whether `a` is served before `b` where priorities count: smaller ones first.
bool is_before(const Request& a, const Request& b) {
  return std::tuple(a.priority, a.arrival.count(), a.id) <
         std::tuple(b.priority, b.arrival.count(), b.id);
}

/// Takes a sequence out of the step again. Returns the tokens that it had.
std::int64_t untake(const ScheduledSequence& sequence, ScheduledStep& step) {
  const auto found = std::find(step.sequences.begin(), step.sequences.end(), &sequence);
  if (found == step.sequences.end()) return 0;
  const auto slice = step.batch.slices.begin() + (found - step.sequences.begin());
  const std::int64_t tokens = slice->new_tokens;
  (*found)->computed -= tokens;
  --(*found)->in_flight;
  step.batch.slices.erase(slice);
  step.sequences.erase(found);
  return tokens;
}

}  // namespace

void VllmScheduler::add(Request& request, bool comes_with_kv) {
  const ScheduledSequence sequence{
      .request = &request, .comes_with_kv = comes_with_kv, .group = emptiest_group()};
  auto place = waiting_.end();
  if (is_by_priority()) {
    place = std::find_if(waiting_.begin(), waiting_.end(), [&](const ScheduledSequence& other) {
      return is_before(request, *other.request);
    });
  }
  waiting_.insert(place, sequence);
}

void VllmScheduler::queue_again(Sequences::iterator victim) {
  auto place = waiting_.begin();
  if (is_by_priority()) {
    place = std::find_if(waiting_.begin(), waiting_.end(), [&](const ScheduledSequence& other) {
      return is_before(*victim->request, *other.request);
    });
  }
  waiting_.splice(place, running_, victim);
}

void VllmScheduler::plan(ScheduledStep& step) {
  std::int64_t budget = serving_.max_batch_tokens;
  if (!plan_running(step, budget)) return;
  if (serving_.balanced_groups > 1) {
    if (!waits_for_groups()) plan_groups(step);
  } else if (!waits_for_more(step)) {
    plan_waiting(step, budget);
  }
}

std::int64_t VllmScheduler::emptiest_group() const {
  if (serving_.balanced_groups == 1) return 0;
  std::vector<std::int64_t> sizes(static_cast<std::size_t>(serving_.balanced_groups));
  for (const Sequences* list : {&waiting_, &running_}) {
    for (const ScheduledSequence& sequence : *list)
      ++sizes[static_cast<std::size_t>(sequence.group)];
  }
  return std::ranges::min_element(sizes) - sizes.begin();
}

bool VllmScheduler::waits_for_groups() {
  const auto groups = static_cast<std::size_t>(serving_.balanced_groups);
  std::vector<bool> have_prompt(groups), have_answer(groups);
  for (const ScheduledSequence& sequence : waiting_) {
    have_prompt[static_cast<std::size_t>(sequence.group)] = true;
  }
  for (const ScheduledSequence& sequence : running_) {
    have_answer[static_cast<std::size_t>(sequence.group)] = true;
  }
  const auto all = [](const std::vector<bool>& flags) {
    return std::ranges::find(flags, false) == flags.end();
  };
  const bool waits =
      !all(have_prompt) && all(have_answer) && waited_for_groups_ + 1 < serving_.balance_wait_steps;
  waited_for_groups_ = waits ? waited_for_groups_ + 1 : 0;
  return waits;
}

void VllmScheduler::plan_groups(ScheduledStep& step) {
  const std::int64_t share = serving_.max_batch_tokens / serving_.balanced_groups;
  std::vector<std::int64_t> budgets(static_cast<std::size_t>(serving_.balanced_groups), share);
  for (std::size_t i = 0; i < step.sequences.size(); ++i) {
    budgets[static_cast<std::size_t>(step.sequences[i]->group)] -= step.batch.slices[i].new_tokens;
  }
  for (auto next = waiting_.begin(); next != waiting_.end() && has_sequence_to_spare();) {
    const auto head = next++;
    std::int64_t& budget = budgets[static_cast<std::size_t>(head->group)];
    begin_behind_shared(*head);
    const std::int64_t needed = needed_tokens(*head), tokens = share_of(*head, budget);
    const bool is_cut = !serving_.chunked_prefill && tokens < needed;
    if (tokens <= 0 || is_cut || !kv_.grow(*head, head->computed + tokens)) {
      budget = 0;  // those behind it in its group wait too
      continue;
    }
    start(head, tokens, step);
    budget -= tokens;
  }
}

bool VllmScheduler::waits_for_more(const ScheduledStep& step) {
  if (serving_.batch_wait_steps == 0 || waiting_.empty() || step.sequences.empty()) return false;
  std::int64_t tokens = step.batch.tokens();
  for (const ScheduledSequence& sequence : waiting_) tokens += needed_tokens(sequence);
  const double full = serving_.batch_wait_fill * static_cast<double>(serving_.max_batch_tokens);
  const bool waits = waited_ < serving_.batch_wait_steps && static_cast<double>(tokens) < full;
  waited_ = waits ? waited_ + 1 : 0;
  return waits;
}

std::int64_t VllmScheduler::share_of(const ScheduledSequence& sequence, std::int64_t budget) const {
  const std::int64_t needed = needed_tokens(sequence);
  const std::int64_t most = serving_.long_prefill_tokens;
  return std::min(most > 0 ? std::min(needed, most) : needed, budget);
}

bool VllmScheduler::plan_running(ScheduledStep& step, std::int64_t& budget) {
  bool has_preempted = false;
  for (auto it = running_.begin(); it != running_.end() && budget > 0; ++it) {
    // Sampling of the token before may still be under way: then there is nothing to compute yet.
    const std::int64_t tokens = share_of(*it, budget);
    if (tokens <= 0) continue;
    bool has_room = kv_.make_room(*it, it->computed + tokens);
    while (!has_room && preempt_for(*it, step, budget)) {
      has_preempted = true;
      has_room = kv_.make_room(*it, it->computed + tokens);
    }
    if (!has_room) {
      has_preempted = true;
      const bool is_least = is_by_priority() || std::next(it) == running_.end();
      if (it->in_flight == 0 && is_least && running_.size() > 1) preempt(it);
      break;
    }
    take(*it, tokens, step);
    budget -= tokens;
  }
  fill_blocks(step);
  return !has_preempted;
}

// Only now: one that was taken into the step may have lost its place again.
void VllmScheduler::fill_blocks(const ScheduledStep& step) {
  for (std::size_t i = 0; i < step.sequences.size(); ++i) {
    const ScheduledSequence& sequence = *step.sequences[i];
    const std::vector<SharedPart>& shared = sequence.request->shared;
    const bool may_be_found = !shared.empty() && step.batch.slices[i].context < shared.back().end;
    if (may_be_found) kv_.fill(sequence, sequence.computed);
  }
}

bool VllmScheduler::preempt_for(ScheduledSequence& needy, ScheduledStep& step,
                                std::int64_t& budget) {
  if (is_by_priority()) return preempt_least(needy, step, budget);
  return preempt_behind(needy) || preempt_younger(needy);
}

// The victim may stand before the needy one in the list and in the step; what it took is free
// again.
bool VllmScheduler::preempt_least(ScheduledSequence& needy, ScheduledStep& step,
                                  std::int64_t& budget) {
  auto victim = running_.end();
  for (auto it = running_.begin(); it != running_.end(); ++it) {
    const bool is_in_step =
        std::find(step.sequences.begin(), step.sequences.end(), &*it) != step.sequences.end();
    if (it->in_flight > (is_in_step ? 1 : 0)) continue;
    if (victim == running_.end() || is_before(*victim->request, *it->request)) victim = it;
  }
  if (victim == running_.end() || &*victim == &needy) return false;
  budget += untake(*victim, step);
  preempt(victim);
  return true;
}

void VllmScheduler::plan_waiting(ScheduledStep& step, std::int64_t& budget) {
  while (!waiting_.empty() && budget > 0) {
    const auto head = waiting_.begin();
    if (!has_sequence_to_spare() && !preempt_younger(*head)) return;
    if (head->comes_with_kv) {
      if (!reserve(head, step)) return;
      continue;
    }
    begin_behind_shared(*head);
    const Below below = load_from_below(head, step);
    if (below == Below::NoRoom) return;
    if (below == Below::Loads) continue;
    const std::int64_t tokens = share_of(*head, budget);
    if (!serving_.chunked_prefill && tokens < needed_tokens(*head)) return;
    while (!kv_.grow(*head, head->computed + tokens)) {
      if (!preempt_younger(*head)) return;
    }
    start(head, tokens, step);
    budget -= tokens;
  }
}

}  // namespace tandem
