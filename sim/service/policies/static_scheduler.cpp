#include "sim/service/policies/static_scheduler.hpp"

#include <algorithm>

namespace tandem {

void StaticScheduler::form_batch() {
  while (!waiting_.empty() && has_sequence_to_spare()) {
    const auto head = waiting_.begin();
    begin_behind_shared(*head);
    const Request& request = *head->request;
    if (!kv_.grow(*head, request.prompt + request.output)) return;
    running_.splice(running_.end(), waiting_, head);
  }
}

void StaticScheduler::plan(ScheduledStep& step) {
  if (running_.empty()) form_batch();
  std::int64_t budget = serving_.max_batch_tokens;
  for (ScheduledSequence& sequence : running_) {
    const std::int64_t tokens = std::min(needed_tokens(sequence), budget);
    if (sequence.request->generated > 0 || tokens <= 0) continue;
    take(sequence, tokens, step);
    budget -= tokens;
  }
  if (!step.sequences.empty()) return;
  for (ScheduledSequence& sequence : running_) {
    const std::int64_t tokens = needed_tokens(sequence);
    if (tokens > 0) take(sequence, tokens, step);
  }
}

}  // namespace tandem
