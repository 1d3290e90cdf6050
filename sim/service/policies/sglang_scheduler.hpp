// The rules of SGLang (python/sglang/srt/managers/scheduler.py, schedule_policy.py,
// schedule_batch.py): steps compute prompts or decode, and prompts go first.
#pragma once

#include "sim/service/batch_scheduler.hpp"

namespace tandem {

/// Contract:
///  - while a waiting prompt can begin, or one that was cut goes on, the step is of prompts: at
///    most `max_batch_tokens` (chunked_prefill_size), the one that passes it is cut, and none
///    begins when `max_prefill_tokens` are reached. Else all running requests decode.
///  - new requests are looked for after every step of prompts, after `receive_interval` steps of
///    decoding, and where nothing runs (scheduler_recv_skipper.py).
///  - a prompt begins when there is room for it, for its answer (4,096 tokens of it at most), and
///    for a share of what running requests still have to write. The share starts at 0.7, falls
///    step by step of decoding to 0.14 of that in 600 of them, and is set anew by a retraction.
///  - `order: longest_prefix` takes those with the most cached tokens first, and leaves requests
///    whose prefix another one before them will cache for later; queues beyond 128 are served first
///    come, first served.
///  - where decoding finds no room, requests with the shortest answers so far, of these with the
///    longest prompts, are retracted, until 20 steps more fit. They go to the end of the queue. The
///    last one left takes the room of a prompt that was cut.
class SglangScheduler final : public BatchScheduler {
 public:
  SglangScheduler(const Serving& serving, std::int64_t kv_blocks);
  void add(Request& request, bool comes_with_kv) override;
  [[nodiscard]] std::int64_t waiting() const override {
    return std::ssize(waiting_) + std::ssize(unseen_);
  }

 private:
  /// What a step of prompts may still take, in tokens.
  struct Budget {
    std::int64_t input = 0;
    std::int64_t chunk = 0;
    double reserved = 0;  ///< of the room, for answers
  };
  void plan(ScheduledStep& step) override;
  void queue_again(Sequences::iterator victim) override;
  [[nodiscard]] std::int64_t kept_of(const ScheduledSequence& victim) const override;
  void receive();
  void reserve_waiting(ScheduledStep& step);
  void plan_prompts(ScheduledStep& step);
  void go_on_with_cut(ScheduledStep& step, Budget& budget);
  bool begin_prompt(Sequences::iterator waiting, ScheduledStep& step, Budget& budget);
  [[nodiscard]] std::vector<Sequences::iterator> queue_in_order();
  void plan_decode(ScheduledStep& step);
  void retract();
  void retract_cut();
  [[nodiscard]] bool has_room_to_decode(std::int64_t steps) const;
  [[nodiscard]] double room_left(const Budget& budget) const;
  [[nodiscard]] bool is_cut(const ScheduledSequence& sequence) const {
    return sequence.request == cut_;
  }

  double first_ratio_;
  double ratio_;      ///< of what running requests may still write
  Sequences unseen_;  ///< requests that came since they were last looked for
  std::int64_t decodes_since_ = 0;
  Request* cut_ = nullptr;  ///< whose prompt was cut, and goes on with the next step
};

}  // namespace tandem
