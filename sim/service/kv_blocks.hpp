// Room for keys and values on one replica, in blocks, as paged caches have it.
#pragma once

#include <cstdint>

#include "sim/describe/eviction.hpp"
#include "sim/service/request.hpp"
#include "sim/service/shared_blocks.hpp"

namespace tandem {

/// A request as a scheduler sees it.
struct ScheduledSequence {
  Request* request = nullptr;
  std::int64_t computed = 0;  ///< tokens whose KV is here or in a pass under way
  std::int64_t blocks = 0;
  std::int64_t in_flight = 0;  ///< passes under way that it is part of
  bool comes_with_kv = false;  ///< its prompt's KV is sent from another replica
  bool is_paused = false;      ///< has nothing to compute until BatchScheduler::resume()
  bool has_loaded = false;     ///< what of its prompt was below HBM
  std::int64_t group = 0;      ///< of those that schedule requests of their own
};

/// The blocks of one replica. Those that requests share are counted once. With a prefix cache, what
/// a request leaves stays until its room is needed: what prompts have in common, and a preempted
/// request's own tokens. The blocks left longest ago go first, of one request its last ones.
class KvBlocks {
 public:
  /// `room`: blocks; `block_tokens`: tokens of each.
  KvBlocks(std::int64_t room, std::int64_t block_tokens, const Eviction& eviction,
           bool has_prefix_cache)
      : room_(room),
        block_tokens_(block_tokens),
        eviction_(eviction),
        has_prefix_cache_(has_prefix_cache),
        shared_(block_tokens) {}

  /// See SharedBlocks::begin_step().
  void begin_step() { shared_.begin_step(); }
  /// Whether a sequence found no room since forget_shortage(), or would not: see note_shortage().
  [[nodiscard]] bool was_short() const { return was_short_; }
  void forget_shortage() { was_short_ = false; }
  /// For schedulers that keep room for answers to come.
  void note_shortage() { was_short_ = true; }
  /// Makes room for the first `tokens` tokens of a sequence, which are computed by the end of the
  /// step. False, and nothing changed, when there is none.
  bool grow(ScheduledSequence& sequence, std::int64_t tokens);
  /// The same for tokens whose KV comes later: fill() says when.
  bool make_room(ScheduledSequence& sequence, std::int64_t tokens);
  /// The KV of its first `tokens` tokens is here: others may find what they share of it.
  void fill(const ScheduledSequence& sequence, std::int64_t tokens);
  /// See SharedBlocks.
  void note_dropped() { shared_.note_dropped(); }
  [[nodiscard]] std::vector<BlockName> take_dropped() { return shared_.take_dropped(); }
  /// Takes the blocks of a sequence whose request goes on later: it then begins behind what is
  /// still here of its first `tokens` tokens.
  void drop(ScheduledSequence& sequence, std::int64_t tokens);
  /// Takes the blocks of a sequence whose request is done here.
  void finish(ScheduledSequence& sequence);
  /// Tokens from the start of the request whose KV is here; its newest token is never one of them.
  [[nodiscard]] std::int64_t tokens_here(const Request& request) const {
    return shared_.tokens_here(request);
  }
  /// Tokens behind these that other requests are computing.
  [[nodiscard]] std::int64_t tokens_under_way(const Request& request) const {
    return shared_.tokens_under_way(request);
  }
  /// Blocks that hold nothing that a request holds.
  [[nodiscard]] std::int64_t free() const { return room_ - used_; }
  [[nodiscard]] std::int64_t used() const { return used_; }
  [[nodiscard]] std::int64_t peak() const { return peak_; }
  [[nodiscard]] std::int64_t blocks_of(std::int64_t tokens) const {
    return (tokens + block_tokens_ - 1) / block_tokens_;
  }
  [[nodiscard]] std::int64_t block_tokens() const { return block_tokens_; }

 private:
  bool add_blocks(ScheduledSequence& sequence, std::int64_t blocks);
  bool grow_kept(ScheduledSequence& sequence, std::int64_t tokens);
  void leave_own_blocks(ScheduledSequence& sequence, std::int64_t tokens);
  void release(ScheduledSequence& sequence);

  std::int64_t room_;
  std::int64_t block_tokens_;
  Eviction eviction_;
  bool has_prefix_cache_;
  SharedBlocks shared_;
  std::int64_t used_ = 0;  ///< those that no request holds left out
  bool was_short_ = false;
  std::int64_t peak_ = 0;
};

}  // namespace tandem
