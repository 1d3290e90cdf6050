// What schedulers of continuous batching have in common: the lists of requests, their KV blocks,
// and how requests come, wait for other pools, and go. Which of them run in a step is the policy's:
// one class per engine. Pure bookkeeping: no time in here.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <vector>

#include "sim/describe/scenario.hpp"
#include "sim/lower/batch.hpp"
#include "sim/service/kv_blocks.hpp"
#include "sim/service/request.hpp"

namespace tandem {

/// Blocks [from, to) of a request's table, for which there is room, to be loaded from below HBM.
struct BlockLoad {
  Request* request = nullptr;
  std::int64_t from = 0, to = 0;
};

/// One step: the batch, and the sequence behind each slice.
struct ScheduledStep {
  Batch batch;
  std::vector<ScheduledSequence*> sequences;
  std::vector<Request*> reserved;   ///< offered requests that got room in this step
  std::vector<Request*> preempted;  ///< since the last step
  std::vector<BlockLoad> loads;
  std::vector<BlockName> dropped;  ///< blocks that others took the room of, where there is a below
};

/// Contract:
///  - a preempted request loses its blocks, and its KV is computed again; blocks that others hold
///    stay, and with a prefix cache so do those whose room nobody needed in between. One that is
///    paused waits aside until it is resumed.
///  - blocks that requests share are counted once; a waiting request begins behind those that are
///    there.
///  - a waiting request whose prefix goes on below HBM gets room for it, and waits aside until it
///  is
///    loaded; those behind it in the queue go on.
///  - a request of speculative decoding may take the room of any younger one, so that two pools
///    which wait for each other's requests always go on with the oldest.
class BatchScheduler {
 public:
  /// `kv_blocks`: room of the replica.
  BatchScheduler(const Serving& serving, std::int64_t kv_blocks)
      : serving_(serving),
        kv_(kv_blocks, serving.kv_block_tokens, serving.eviction, serving.prefix_cache) {}
  virtual ~BatchScheduler() = default;

  /// A request that waits to run, `comes_with_kv`: for room for the KV that is sent to it.
  virtual void add(Request& request, bool comes_with_kv);
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
  /// Blocks that are dropped go below, and prompts begin behind what is found there.
  void use_below(const CacheBelow& below);
  /// What a step asked to load for a request is here: it runs from the next step on.
  void loaded(Request& request);
  /// Leaves a running request out of the steps to come; its blocks may be taken from it.
  void pause(Request& request);
  /// A paused request runs again, on top of the KV of at most its first `tokens` tokens.
  void resume(Request& request, std::int64_t tokens);
  /// Takes a request out of the schedule and frees its blocks.
  void finish(Request& request);
  /// Takes a request out of the schedule but keeps its blocks until finish().
  void hold(Request& request);

  [[nodiscard]] const KvBlocks& kv() const { return kv_; }
  /// Requests that wait to run.
  [[nodiscard]] virtual std::int64_t waiting() const { return std::ssize(waiting_); }
  /// Requests that have begun and are not done here.
  [[nodiscard]] std::int64_t running() const { return std::ssize(running_); }

 protected:
  using Sequences = std::list<ScheduledSequence>;
  /// Puts sequences into a step.
  virtual void plan(ScheduledStep& step) = 0;
  /// Where a preempted request goes in the queue.
  virtual void queue_again(Sequences::iterator victim) {
    waiting_.splice(waiting_.begin(), running_, victim);
  }
  /// Tokens, from its start, that a cache of prefixes keeps of a preempted request.
  [[nodiscard]] virtual std::int64_t kept_of(const ScheduledSequence& victim) const {
    return victim.computed;
  }

  [[nodiscard]] bool has_sequence_to_spare() const;
  /// Known tokens of a sequence that are not computed yet; 0 while its newest is being sampled.
  [[nodiscard]] static std::int64_t needed_tokens(const ScheduledSequence& sequence);
  /// Computes that many further tokens of a running sequence, whose room is there, in the step.
  void take(ScheduledSequence& sequence, std::int64_t tokens, ScheduledStep& step);
  /// The same for one that waits.
  void start(Sequences::iterator waiting, std::int64_t tokens, ScheduledStep& step);
  /// Sets room aside for a waiting request whose KV is to come. False when there is none.
  bool reserve(Sequences::iterator waiting, ScheduledStep& step);
  /// Sets a waiting sequence behind the tokens whose KV is here.
  void begin_behind_shared(ScheduledSequence& sequence);
  /// Whether the prefix of a waiting sequence that begins goes on below HBM: then it is on its way,
  /// or there is no room for it.
  enum class Below : std::uint8_t { Nothing, Loads, NoRoom };
  Below load_from_below(Sequences::iterator waiting, ScheduledStep& step);
  /// Takes the blocks of a running sequence and queues it again.
  void preempt(Sequences::iterator victim);
  /// Frees the last running sequence that no pass holds. False when that is `needy` itself or
  /// nobody.
  bool preempt_behind(const ScheduledSequence& needy);
  /// The same for a request of speculative decoding that is past its prompt, of all that arrived
  /// after it: those before it in the list may wait for other pools while it would wait for them.
  bool preempt_younger(const ScheduledSequence& needy);
  static Sequences::iterator find(Sequences& list, const Request& request);

  const Serving serving_;
  KvBlocks kv_;
  Sequences waiting_;
  Sequences running_;

 private:
  void note_waiting(const ScheduledStep& step);
  void name_prefix(const Request& request, SequenceSlice& slice) const;

  const CacheBelow* below_ = nullptr;
  std::vector<Request*> preempted_;  ///< since the last step
  Sequences inbound_;                ///< room set aside, KV on its way
  Sequences loading_;                ///< room set aside, KV on its way from below
  Sequences held_;
  Sequences dropped_;  ///< paused, without blocks
};

/// The scheduler that `serving.policy` names.
[[nodiscard]] std::unique_ptr<BatchScheduler> make_scheduler(const Serving& serving,
                                                             std::int64_t kv_blocks);

}  // namespace tandem
