// The rules of vLLM v1 (vllm/v1/core/sched/scheduler.py): no prefill or decode phase; each step
// lets requests catch up with their known tokens.
#pragma once

#include "sim/service/batch_scheduler.hpp"

namespace tandem {

/// Contract:
///  - running requests come first, in the order of their admission; then waiting ones from the head
///    of the queue, and only when nothing was preempted in this step. A waiting request that finds
///    no room ends the step, also for smaller ones behind it.
///  - a running request that finds no KV block preempts the last running one that is not part of a
///    pass under way, or with `order: priority` the one of least priority, then latest arrival. Its
///    place is at the head of the queue.
///  - a prompt takes at most `long_prefill_tokens` of a step, where that is set; without
///    `chunked_prefill` it is computed at once or waits.
///  - with `batch_wait_steps` waiting prompts let so many steps of others go by, unless all of them
///    together fill `batch_wait_fill` of a step (TensorRT-LLM, _torch/pyexecutor/py_executor.py,
///    batch_wait_timeout_iters and batch_wait_max_tokens_ratio).
///  - with `balanced_groups` a request belongs to the group that has fewest when it comes. Prompts
///    begin when every group has one that waits or has no answer to go on with, and every
///    `balance_wait_steps` steps; each group fills its own part of the step (the same file,
///    _balance_adp_requests, which counts steps without any prompt too).
class VllmScheduler final : public BatchScheduler {
 public:
  using BatchScheduler::BatchScheduler;
  void add(Request& request, bool comes_with_kv) override;

 private:
  void plan(ScheduledStep& step) override;
  void queue_again(Sequences::iterator victim) override;
  [[nodiscard]] bool is_by_priority() const { return serving_.order == "priority"; }
  /// Returns whether the queue may be served too: nothing was preempted.
  bool plan_running(ScheduledStep& step, std::int64_t& budget);
  /// Others may find the full blocks of what the step computes.
  void fill_blocks(const ScheduledStep& step);
  void plan_waiting(ScheduledStep& step, std::int64_t& budget);
  /// Whether waiting prompts let this step go by; counts those that they did.
  bool waits_for_more(const ScheduledStep& step);
  /// Whether prompts let this step go by because some group has none.
  bool waits_for_groups();
  /// plan_waiting() where each group has a budget of its own.
  void plan_groups(ScheduledStep& step);
  [[nodiscard]] std::int64_t emptiest_group() const;
  /// Tokens of a sequence that the step takes of those that are not computed.
  [[nodiscard]] std::int64_t share_of(const ScheduledSequence& sequence, std::int64_t budget) const;
  bool preempt_for(ScheduledSequence& needy, ScheduledStep& step, std::int64_t& budget);
  bool preempt_least(ScheduledSequence& needy, ScheduledStep& step, std::int64_t& budget);

  std::int64_t waited_ = 0;
  std::int64_t waited_for_groups_ = 0;
};

}  // namespace tandem
