// Which cached tokens a pass attends to, and which stay behind it.
#pragma once

#include "models/gpu/execute/pass_state.hpp"

namespace tandem::gpu {

/// Keys of one KV head that a query sees: those that earlier passes kept, then the new ones.
struct SeenKeys {
  std::int64_t count = 0;
  std::int64_t context = 0;                 ///< tokens before this pass
  std::span<const std::int64_t> kept = {};  ///< none: all tokens before it
  std::int64_t sinks = 0;                   ///< first places met from a place within the cache
  std::int64_t root = 0;                    ///< of a tree, and the places seen from there on
  std::span<const std::int64_t> path = {};
  [[nodiscard]] std::int64_t token(std::int64_t place) const {
    if (!path.empty()) return place < root ? place : path[static_cast<std::size_t>(place - root)];
    const auto earlier = static_cast<std::int64_t>(kept.size());
    if (earlier == 0) return place;
    return place < earlier ? kept[static_cast<std::size_t>(place)] : context + place - earlier;
  }
};

/// True where queries meet sinks from their place within the cache (StreamingLLM).
[[nodiscard]] bool moves_sinks(const KernelCall& call);

/// Drops what a policy does not keep of a request with so many tokens so far.
void evict(const Eviction& eviction, std::int64_t so_far, KeptTokens& kept);

/// Eviction in one layer and slice of a pass. Without a policy all earlier tokens are seen and
/// nothing happens behind the pass.
class CacheEviction {
 public:
  CacheEviction(const KernelCall& call, const SliceOnChip& slice);

  [[nodiscard]] SeenKeys keys_of(std::int64_t query, std::int64_t head) const;
  /// Row `query` of the slice as it meets sinks, of latent attention the rotated parts alone;
  /// `others` where nothing moves.
  [[nodiscard]] std::span<const float> queries_of_sinks(std::int64_t query,
                                                        std::span<const float> others) const;
  /// Scores of a query head over the keys it saw.
  void take(std::int64_t query, std::int64_t head, std::vector<float> scores);
  /// Adds up what keys drew, in the order of queries whatever that of CTAs, and evicts.
  void finish();

 private:
  void add_sums(std::int64_t kv_head, KeptTokens& kept) const;

  const KernelCall& call_;
  const SliceOnChip& slice_;
  Eviction eviction_;  ///< off where the layer does not evict
  std::int64_t heads_ = 0, kv_heads_ = 0;
  std::vector<std::vector<float>> scores_;  ///< [query][head]
};

}  // namespace tandem::gpu
