#include "sim/step/gang_kv.hpp"

#include <algorithm>

#include "sim/core/diagnostics.hpp"

namespace tandem {
namespace {

/// Heads of a tensor rank; fewer heads than ranks are held more than once.
ShareRange heads_held(std::int64_t kv_heads, const Shard& shard) {
  if (shard.of.context > 1) {
    throw ModelError("gang: chips that share cached tokens (context) are only timed yet");
  }
  const std::int64_t begin = shard.group_rank() * kv_heads / shard.of.tensor;
  return {begin, begin + std::max<std::int64_t>(1, kv_heads / shard.of.tensor)};
}

/// Copies `count` heads of every row of [layer][K, V][token].
void copy_heads(const KvBlock& from, std::int64_t from_head, KvBlock& to, std::int64_t to_head,
                std::int64_t count) {
  auto source = from.bytes.begin();
  auto target = to.bytes.begin();
  for (std::int64_t part = 0; part < 2 * from.layers; ++part) {
    const std::int64_t width = part % 2 == 0 ? from.head_dim : from.value_width();
    const std::int64_t head_bytes = width * bytes_of(from.type);
    for (std::int64_t token = 0; token < from.tokens; ++token) {
      const auto first = source + from_head * head_bytes;
      std::copy(first, first + count * head_bytes, target + to_head * head_bytes);
      source += from.kv_heads * head_bytes;
      target += to.kv_heads * head_bytes;
    }
  }
}

KvBlock with_heads(const KvBlock& like, std::int64_t kv_heads) {
  KvBlock block = like;
  block.kv_heads = kv_heads;
  block.bytes.assign(static_cast<std::size_t>(block.expected_size().count()), std::byte{});
  return block;
}

}  // namespace

KvBlock heads_of_rank(const KvBlock& whole, const Shard& shard) {
  const ShareRange heads = heads_held(whole.kv_heads, shard);
  KvBlock own = with_heads(whole, heads.size());
  copy_heads(whole, heads.begin, own, 0, heads.size());
  return own;
}

KvBlock merged_heads(const Stage& stage, const std::vector<KvBlock>& blocks,
                     const std::vector<Shard>& holders) {
  std::int64_t kv_heads = blocks.front().kv_heads;
  if (stage.layers > 0) {
    const auto& mixer = stage.network.layer(stage.first_layer).mixer;
    if (const auto* a = std::get_if<GroupedAttention>(&mixer)) kv_heads = a->shape.kv_heads;
  }
  KvBlock whole = with_heads(blocks.front(), kv_heads);
  // Backwards, so that the first of several holders has the last word.
  for (std::size_t i = blocks.size(); i-- > 0;) {
    const ShareRange heads = heads_held(kv_heads, holders[i]);
    copy_heads(blocks[i], 0, whole, heads.begin, heads.size());
  }
  return whole;
}

}  // namespace tandem
