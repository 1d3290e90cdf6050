// KV blocks that the prompts of several requests have in common, each counted once. As prefix
// caching of vLLM v1 (vllm/v1/core/kv_cache_manager.py): whole blocks only; those that no request
// holds stay until their room is needed, and the ones left longest ago go first, of equal ones the
// last of a prompt.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "sim/service/request.hpp"

namespace tandem {

/// A full block of what prompts share: of the part with this key, counted from its first.
struct BlockName {
  std::int64_t key = 0, index = 0;
  friend auto operator<=>(const BlockName&, const BlockName&) = default;
};

/// The names of the blocks [from, to) of a request's table, up to the first that is in no shared
/// part.
[[nodiscard]] std::vector<BlockName> shared_block_names(const Request& request,
                                                        std::int64_t block_tokens,
                                                        std::int64_t from, std::int64_t to);

/// Where blocks may be that were dropped here.
class CacheBelow {
 public:
  virtual ~CacheBelow() = default;
  /// How many of the blocks [from, to) of a request's table are there, up to the first that is not.
  [[nodiscard]] virtual std::int64_t blocks_below(const Request& request, std::int64_t from,
                                                  std::int64_t to) const = 0;
};

/// The shared blocks of one replica. A request's block table begins with the blocks of its shared
/// parts, one part behind the other; the blocks behind them are its own.
class SharedBlocks {
 public:
  explicit SharedBlocks(std::int64_t block_tokens) : block_tokens_(block_tokens) {}

  /// From here on, what is filled is found from the next step on; without any call, at once.
  void begin_step() { ++step_; }
  /// Tokens at the start of the request whose KV is here; at least its newest token is not counted,
  /// which has to be computed.
  [[nodiscard]] std::int64_t tokens_here(const Request& request) const;
  /// Tokens behind these that requests which hold the blocks are computing.
  [[nodiscard]] std::int64_t tokens_under_way(const Request& request) const;
  /// How many blocks have to be made for the blocks [from, to) of the request's table.
  [[nodiscard]] std::int64_t missing(const Request& request, std::int64_t from,
                                     std::int64_t to) const;
  /// Grows the request's table from `from` to `to` blocks. Returns the idle blocks that it took up.
  std::int64_t take(const Request& request, std::int64_t from, std::int64_t to);
  /// The first `tokens` tokens of the request are computed, or will be by the end of the step: full
  /// blocks of them may be found.
  void fill(const Request& request, std::int64_t tokens);
  /// Drops a table of `blocks` blocks. Returns how many of them no request holds any more.
  std::int64_t release(const Request& request, std::int64_t blocks);
  /// The last part of the request is new: blocks of its table of `blocks`, which were its own.
  void adopt_last(const Request& request, std::int64_t blocks);
  /// Forgets that many idle blocks: of the parts left longest ago, from their ends, but none of
  /// `request`. False, and nothing forgotten, when there are fewer.
  bool evict(const Request& request, std::int64_t blocks);
  /// From here on evicted blocks are noted.
  void note_dropped() { notes_dropped_ = true; }
  /// Those that were evicted since the last call, in that order.
  [[nodiscard]] std::vector<BlockName> take_dropped() { return std::exchange(dropped_, {}); }
  /// Blocks that no request holds.
  [[nodiscard]] std::int64_t idle() const { return idle_; }

 private:
  struct Part {
    std::int64_t blocks = 0;       ///< here, from the part's first
    std::int64_t full = 0;         ///< of those
    std::int64_t full_before = 0;  ///< when `step` began
    std::int64_t step = 0;         ///< in which they last grew
    std::int64_t holders = 0;
    std::int64_t left = 0;  ///< idle: its place among those left before and after
  };
  template <class Visit>
  void for_each_part(const Request& request, const Visit& visit) const;
  [[nodiscard]] std::int64_t blocks_here(std::int64_t key) const;
  [[nodiscard]] std::int64_t blocks_to_find(std::int64_t key) const;

  std::int64_t block_tokens_;
  std::int64_t step_ = 0;
  std::map<std::int64_t, Part> parts_;         ///< by key
  std::map<std::int64_t, std::int64_t> left_;  ///< keys of idle parts, longest ago first
  std::int64_t times_left_ = 0;
  std::int64_t idle_ = 0;
  bool notes_dropped_ = false;
  std::vector<BlockName> dropped_;
};

}  // namespace tandem
