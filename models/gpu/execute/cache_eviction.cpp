#include "models/gpu/execute/cache_eviction.hpp"

#include <algorithm>
#include <numeric>

#include "sim/core/integers.hpp"
#include "sim/numerics/special.hpp"

namespace tandem::gpu {
namespace {

Eviction eviction_of(const KernelCall& call) {
  return evicts(call.kind().mixer) ? call.on().stage.eviction : Eviction{};
}

struct HeadCounts {
  std::int64_t heads = 0, kv_heads = 0;
};

/// Heads of latent attention share the latents.
HeadCounts head_counts(const Mixer& mixer) {
  if (const auto* latent = std::get_if<LatentAttention>(&mixer)) return {latent->shape.heads, 1};
  const auto& a = std::get<GroupedAttention>(mixer);
  return {a.shape.heads, a.shape.kv_heads};
}

/// The first ones and the last ones.
void keep_ends(const Eviction& eviction, KeptTokens& kept) {
  const std::int64_t all = static_cast<std::int64_t>(kept.tokens.size());
  kept.tokens.erase(kept.tokens.begin() + eviction.sinks,
                    kept.tokens.begin() + (all - eviction.recent()));
}

/// The last ones, and of those before them the ones with the largest sums; of equals the earlier.
void keep_heavy(const Eviction& eviction, KeptTokens& kept) {
  const std::size_t older = kept.tokens.size() - index_of(eviction.recent());
  const std::size_t heavy = index_of(eviction.tokens - eviction.recent());
  std::vector<std::size_t> order(older);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return kept.sums[a] > kept.sums[b]; });
  order.resize(heavy);
  std::sort(order.begin(), order.end());
  for (std::size_t i = older; i < kept.tokens.size(); ++i) order.push_back(i);
  KeptTokens left;
  for (const std::size_t i : order) {
    left.tokens.push_back(kept.tokens[i]);
    left.sums.push_back(kept.sums[i]);
  }
  kept = std::move(left);
}

/// exp(score - largest) over their sum, in float.
void to_shares(std::vector<float>& scores) {
  const float largest = *std::max_element(scores.begin(), scores.end());
  float sum = 0;
  for (float& score : scores) {
    score = special::exp(score - largest);
    sum += score;
  }
  for (float& score : scores) score /= sum;
}

}  // namespace

void evict(const Eviction& eviction, std::int64_t so_far, KeptTokens& kept) {
  const Eviction now = eviction.behind(so_far);
  if (static_cast<std::int64_t>(kept.tokens.size()) <= now.tokens) return;
  now.sums_attention() ? keep_heavy(now, kept) : keep_ends(now, kept);
}

bool moves_sinks(const KernelCall& call) {
  const auto* attention = std::get_if<GroupedAttention>(&call.kind().mixer);
  const bool rotates = attention == nullptr || attention->rope.has_value();
  return rotates && eviction_of(call).policy == EvictionPolicy::StreamingLlm;
}

CacheEviction::CacheEviction(const KernelCall& call, const SliceOnChip& slice)
    : call_(call), slice_(slice), eviction_(eviction_of(call)) {
  const HeadCounts counts = head_counts(call.kind().mixer);
  heads_ = counts.heads;
  kv_heads_ = counts.kv_heads;
  if (eviction_.is_on()) call.cache(slice).kept.resize(index_of(kv_heads_));
  scores_.resize(eviction_.sums_attention() ? index_of(heads_ * slice.slice.new_tokens) : 0);
}

SeenKeys CacheEviction::keys_of(std::int64_t query, std::int64_t head) const {
  const std::int64_t context = slice_.slice.context;
  if (slice_.is_tree()) {
    return {slice_.position(query) + 1, context, {}, 0, slice_.root, slice_.paths[index_of(query)]};
  }
  SeenKeys keys{eviction_.kept(context) + query + 1, context};
  if (!eviction_.is_on() || context == 0) return keys;
  keys.kept = call_.cache(slice_).kept[index_of(head / (heads_ / kv_heads_))].tokens;
  if (moves_sinks(call_)) keys.sinks = eviction_.sinks;
  return keys;
}

std::span<const float> CacheEviction::queries_of_sinks(std::int64_t query,
                                                       std::span<const float> others) const {
  if (!moves_sinks(call_)) return others;
  return call_.pass.at(Buffer::SinkQuery).read(slice_.first_row + query, call_.span.start);
}

void CacheEviction::take(std::int64_t query, std::int64_t head, std::vector<float> scores) {
  if (eviction_.sums_attention()) scores_[index_of(query * heads_ + head)] = std::move(scores);
}

void CacheEviction::add_sums(std::int64_t kv_head, KeptTokens& kept) const {
  const std::int64_t group = heads_ / kv_heads_;
  for (std::int64_t query = 0; query < slice_.slice.new_tokens; ++query) {
    for (std::int64_t head = kv_head * group; head < (kv_head + 1) * group; ++head) {
      std::vector<float> shares = scores_[index_of(query * heads_ + head)];
      to_shares(shares);
      for (std::size_t i = 0; i < shares.size(); ++i) kept.sums[i] += shares[i];
    }
  }
}

void CacheEviction::finish() {
  if (!eviction_.is_on()) return;
  const SequenceSlice& s = slice_.slice;
  std::vector<KeptTokens>& all = call_.cache(slice_).kept;
  for (std::int64_t head = 0; head < kv_heads_; ++head) {
    KeptTokens& kept = all[index_of(head)];
    for (std::int64_t i = 0; i < s.new_tokens; ++i) kept.tokens.push_back(s.context + i);
    if (eviction_.sums_attention()) {
      kept.sums.resize(kept.tokens.size(), 0.0F);
      add_sums(head, kept);
    }
    evict(eviction_, s.context + s.new_tokens, kept);
  }
}

}  // namespace tandem::gpu
