#include "sim/service/policies/sglang_scheduler.hpp"

#include <algorithm>
#include <iterator>
#include <set>
#include <tuple>

namespace tandem {
namespace {

// Constants of the engine: global_config.py, schedule_policy.py.
constexpr double default_ratio = 0.7;
constexpr double lowest_share = 0.14;
constexpr double decay_steps = 600;
constexpr std::int64_t retract_steps = 20;
constexpr std::int64_t most_answer_tokens = 4096;
constexpr std::size_t longest_sorted_queue = 128;
constexpr std::int64_t prefix_worth_waiting = 32;  // tokens

std::int64_t answer_to_come(const Request& request) {
  return std::min(request.output - request.generated, most_answer_tokens);
}

}  // namespace

SglangScheduler::SglangScheduler(const Serving& serving, std::int64_t kv_blocks)
    : BatchScheduler(serving, kv_blocks),
      first_ratio_(std::min(1.0, default_ratio * serving.conservativeness)),
      ratio_(first_ratio_) {}

void SglangScheduler::add(Request& request, bool comes_with_kv) {
  unseen_.push_back({.request = &request, .comes_with_kv = comes_with_kv});
}

void SglangScheduler::receive() {
  if (!running_.empty() && decodes_since_ < serving_.receive_interval) return;
  waiting_.splice(waiting_.end(), unseen_);
  decodes_since_ = 0;
}

void SglangScheduler::plan(ScheduledStep& step) {
  receive();
  kv_.begin_step();  // the tree takes in what a step computed when it is over
  if (running_.empty()) ratio_ = first_ratio_;
  reserve_waiting(step);
  plan_prompts(step);
  const bool has_prompts = !step.sequences.empty();
  if (!has_prompts) plan_decode(step);
  decodes_since_ = has_prompts ? serving_.receive_interval : decodes_since_ + 1;
}

void SglangScheduler::queue_again(Sequences::iterator victim) {
  waiting_.splice(waiting_.end(), running_, victim);
}

// The tree holds prompts; what was written behind them is freed.
std::int64_t SglangScheduler::kept_of(const ScheduledSequence& victim) const {
  return std::min(victim.computed, victim.request->prompt);
}

void SglangScheduler::reserve_waiting(ScheduledStep& step) {
  for (auto it = waiting_.begin(); it != waiting_.end();) {
    const auto waiting = it++;
    if (!waiting->comes_with_kv) continue;
    if (!has_sequence_to_spare() || !reserve(waiting, step)) return;
  }
}

double SglangScheduler::room_left(const Budget& budget) const {
  return static_cast<double>(kv_.free() * kv_.block_tokens()) - budget.reserved;
}

void SglangScheduler::plan_prompts(ScheduledStep& step) {
  Budget budget{.input = serving_.max_prefill_tokens, .chunk = serving_.max_batch_tokens};
  for (const ScheduledSequence& sequence : running_) {
    if (is_cut(sequence)) continue;
    budget.reserved += static_cast<double>(answer_to_come(*sequence.request)) * ratio_;
  }
  if (cut_ != nullptr) go_on_with_cut(step, budget);
  for (const auto waiting : queue_in_order()) {
    if (!has_sequence_to_spare() || !begin_prompt(waiting, step, budget)) return;
  }
}

void SglangScheduler::go_on_with_cut(ScheduledStep& step, Budget& budget) {
  const auto cut = find(running_, *cut_);
  if (cut->in_flight > 0) return;
  auto most =
      static_cast<std::int64_t>(std::min(static_cast<double>(budget.chunk), room_left(budget)));
  if (most <= 0) most = budget.chunk;
  const std::int64_t tokens = std::min(needed_tokens(*cut), most);
  if (!kv_.grow(*cut, cut->computed + tokens)) return;
  budget.input -= tokens;
  budget.chunk -= tokens;
  if (tokens == needed_tokens(*cut)) {
    budget.reserved += static_cast<double>(answer_to_come(*cut_));
    cut_ = nullptr;
  }
  take(*cut, tokens, step);
}

// Returns whether further prompts may begin in this step.
bool SglangScheduler::begin_prompt(Sequences::iterator waiting, ScheduledStep& step,
                                   Budget& budget) {
  begin_behind_shared(*waiting);
  const std::int64_t needed = needed_tokens(*waiting);
  const std::int64_t answer = answer_to_come(*waiting->request);
  if (static_cast<double>(needed + answer) >= room_left(budget)) {
    kv_.note_shortage();
    return false;
  }
  if (needed >= budget.input && !step.sequences.empty()) return false;
  const std::int64_t tokens =
      needed <= budget.chunk ? needed : budget.chunk / kv_.block_tokens() * kv_.block_tokens();
  if (tokens <= 0 || !kv_.grow(*waiting, waiting->computed + tokens)) return false;
  if (tokens < needed) {
    cut_ = waiting->request;
  } else {
    budget.reserved += static_cast<double>(answer);
  }
  start(waiting, tokens, step);
  budget.input -= tokens;
  budget.chunk -= tokens;
  return budget.input > 0 && budget.chunk > 0 && room_left(budget) > 0;
}

std::vector<BatchScheduler::Sequences::iterator> SglangScheduler::queue_in_order() {
  std::vector<Sequences::iterator> queue;
  for (auto it = waiting_.begin(); it != waiting_.end(); ++it) {
    if (!it->comes_with_kv) queue.push_back(it);
  }
  if (serving_.order != "longest_prefix" || queue.size() > longest_sorted_queue) return queue;
  std::set<std::int64_t> to_be_cached;  // first parts of requests that nothing is cached of
  std::vector<std::tuple<bool, std::int64_t, std::size_t>> keys;
  for (std::size_t i = 0; i < queue.size(); ++i) {
    const Request& request = *queue[i]->request;
    const std::int64_t cached = kv_.tokens_here(request);
    bool waits_for_other = false;
    const bool is_long =
        !request.shared.empty() && request.shared.front().end > prefix_worth_waiting;
    if (cached <= prefix_worth_waiting && is_long) {
      waits_for_other = !to_be_cached.insert(request.shared.front().key).second;
    }
    keys.emplace_back(waits_for_other, -cached, i);
  }
  std::sort(keys.begin(), keys.end());
  std::vector<Sequences::iterator> sorted;
  for (const auto& key : keys) sorted.push_back(queue[std::get<2>(key)]);
  return sorted;
}

void SglangScheduler::retract_cut() {
  if (cut_ == nullptr) return;
  const auto cut = find(running_, *cut_);
  if (cut->in_flight > 0) return;
  preempt(cut);
  cut_ = nullptr;
}

bool SglangScheduler::has_room_to_decode(std::int64_t steps) const {
  std::int64_t blocks = 0;
  for (const ScheduledSequence& sequence : running_) {
    if (is_cut(sequence) || needed_tokens(sequence) <= 0) continue;
    const std::int64_t end = sequence.computed + needed_tokens(sequence) + steps - 1;
    blocks += std::max<std::int64_t>(0, kv_.blocks_of(end) - sequence.blocks);
  }
  return blocks <= kv_.free();
}

void SglangScheduler::plan_decode(ScheduledStep& step) {
  if (has_room_to_decode(1)) {
    ratio_ = std::max(first_ratio_ * lowest_share,
                      ratio_ - first_ratio_ * (1 - lowest_share) / decay_steps);
  } else {
    retract();
  }
  for (ScheduledSequence& sequence : running_) {
    const std::int64_t tokens = needed_tokens(sequence);
    if (is_cut(sequence) || tokens <= 0) continue;
    if (kv_.grow(sequence, sequence.computed + tokens)) take(sequence, tokens, step);
  }
}

void SglangScheduler::retract() {
  const auto is_kept_longer = [](const ScheduledSequence& a, const ScheduledSequence& b) {
    return std::tuple(-a.request->generated, a.request->prompt, a.request->id) <
           std::tuple(-b.request->generated, b.request->prompt, b.request->id);
  };
  bool has_retracted = false;
  while (!has_retracted || !has_room_to_decode(retract_steps)) {
    auto victim = running_.end();
    std::int64_t candidates = 0;
    for (auto it = running_.begin(); it != running_.end(); ++it) {
      if (it->in_flight > 0 || is_cut(*it)) continue;
      ++candidates;
      if (victim == running_.end() || is_kept_longer(*victim, *it)) victim = it;
    }
    if (candidates <= 1) {
      // The last one that decodes goes on in the room of a prompt that was begun.
      if (!has_room_to_decode(1)) retract_cut();
      break;
    }
    preempt(victim);
    has_retracted = true;
  }
  double written = 0, allowed = 0;
  for (const ScheduledSequence& sequence : running_) {
    written += static_cast<double>(sequence.request->generated + retract_steps);
    allowed += static_cast<double>(sequence.request->output);
  }
  if (allowed > 0) ratio_ = std::min(1.0, written / allowed);
}

}  // namespace tandem
