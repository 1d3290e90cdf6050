// Continuous batching by the rules of vLLM v1 (vllm/v1/core/sched/scheduler.py): no prefill or
// decode phase; each step lets requests catch up with their known tokens. Pure bookkeeping: no
// time in here.
#pragma once

#include <cstdint>
#include <deque>
#include <list>
#include <vector>

#include "sim/lower/batch.hpp"
#include "sim/service/request.hpp"
#include "sim/service/shared_blocks.hpp"

namespace tandem {

struct SchedulerLimits {
  std::int64_t max_batch_tokens = 8192;
  std::int64_t max_sequences = 256;
  std::int64_t block_tokens = 16;
  std::int64_t kv_blocks = 0;
  Eviction eviction = {};
  bool cascade_attention = false;
};

/// A request as the scheduler sees it.
struct ScheduledSequence {
  Request* request = nullptr;
  std::int64_t computed = 0;  ///< tokens whose KV is here or in a pass under way
  std::int64_t blocks = 0;
  std::int64_t in_flight = 0;  ///< passes under way that it is part of
  bool comes_with_kv = false;  ///< its prompt's KV is sent from another replica
  bool is_paused = false;      ///< has nothing to compute until resume()
};

/// One step: the batch, and the sequence behind each slice.
struct ScheduledStep {
  Batch batch;
  std::vector<ScheduledSequence*> sequences;
  std::vector<Request*> reserved;   ///< offered requests that got room in this step
  std::vector<Request*> preempted;  ///< in this step
};

/// Contract:
///  - running requests come first, in the order of their admission; then waiting ones from the head
///    of the queue, and only when nothing was preempted in this step.
///  - a running request that finds no KV block preempts the last running one that is not part of a
///    pass under way: its blocks are freed, its KV is recomputed, and it goes to the head of the
///    queue, or waits aside until it is resumed where it is paused. Shared blocks that others hold
///    stay.
///  - blocks that requests share are counted once; a waiting request begins behind those that are
///    there.
///  - a request of speculative decoding may take the room of any younger one, so that two pools
///    which wait for each other's requests always go on with the oldest.
class BatchScheduler {
 public:
  explicit BatchScheduler(const SchedulerLimits& limits)
      : limits_(limits), shared_(limits.block_tokens) {}

  void add(Request& request, bool comes_with_kv);
  /// Adds a request that goes on from the prompt of one that runs here: with the same shared blocks
  /// and a copy of the last one where that is not full. Without room it waits, and then computes
  /// what is behind the shared blocks again.
  ForkOutcome fork(Request& branch);
  /// The next step; an empty batch when nothing can run. Marks its sequences as in flight.
  ScheduledStep schedule();
  /// The pass is over for this sequence; true when its newest token is to be sampled from it.
  static bool complete(ScheduledSequence& sequence, const SequenceSlice& slice);
  /// Drops what was computed of drafts that were rejected: the newest token has not been computed,
  /// and behind it stand new drafts.
  static void take_back(ScheduledSequence& sequence);
  /// The KV of a reserved request is here: it runs from the next step on.
  void arrive(Request& request);
  /// Leaves a running request out of the steps to come; its blocks may be taken from it.
  void pause(Request& request);
  /// A paused request runs again, on top of the KV of at most its first `tokens` tokens.
  void resume(Request& request, std::int64_t tokens);
  /// Takes a request out of the schedule and frees its blocks.
  void finish(Request& request);
  /// Takes a request out of the schedule but keeps its blocks until finish().
  void hold(Request& request);

  [[nodiscard]] std::int64_t used_blocks() const { return used_blocks_; }
  [[nodiscard]] std::int64_t peak_blocks() const { return peak_blocks_; }
  [[nodiscard]] const SchedulerLimits& limits() const { return limits_; }

 private:
  using Sequences = std::list<ScheduledSequence>;
  [[nodiscard]] bool has_sequence_to_spare() const;
  [[nodiscard]] std::int64_t needed_blocks(std::int64_t tokens) const;
  bool allocate(ScheduledSequence& sequence, std::int64_t tokens);
  bool allocate_kept(ScheduledSequence& sequence, std::int64_t tokens);
  bool schedule_running(ScheduledStep& step, std::int64_t& budget);
  void begin_behind_shared(ScheduledSequence& sequence);
  void name_prefix(const Request& request, SequenceSlice& slice) const;
  void schedule_waiting(ScheduledStep& step, std::int64_t& budget);
  bool preempt_for(const ScheduledSequence& needy);
  bool preempt_younger(const ScheduledSequence& needy);
  void drop(std::list<ScheduledSequence>::iterator victim);

  std::vector<Request*> preempted_;  ///< since the last step
  void take(ScheduledSequence& sequence, std::int64_t tokens, ScheduledStep& step);
  static Sequences::iterator find(Sequences& list, const Request& request);

  SchedulerLimits limits_;
  Sequences waiting_;
  Sequences inbound_;  ///< room set aside, KV on its way
  Sequences running_;
  Sequences held_;
  Sequences dropped_;  ///< paused, without blocks
  SharedBlocks shared_;
  std::int64_t used_blocks_ = 0;  ///< idle shared ones left out
  std::int64_t peak_blocks_ = 0;
};

}  // namespace tandem
