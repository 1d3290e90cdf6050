#include "sim/step/gang_kv.hpp"

#include "sim/core/diagnostics.hpp"

namespace tandem {
namespace {

void require_whole_tokens(const Shard& shard) {
  if (shard.of.context == 1) return;
  throw ModelError("gang: chips that share cached tokens (context) are only timed yet");
}

}  // namespace

KvBlock heads_of_rank(const KvBlock& whole, const Shard& shard) {
  require_whole_tokens(shard);
  return heads_of_rank(whole, shard.group_rank(), shard.of.tensor);
}

KvBlock merged_heads(const Stage& stage, const std::vector<KvBlock>& blocks,
                     const std::vector<Shard>& holders) {
  const KvBlock& like = blocks.front();
  KvBlock whole = empty_block(stage.network, stage.first_layer, stage.layers, like.type,
                              like.tokens, like.format);
  // Backwards, so that the first of several holders has the last word.
  for (std::size_t i = blocks.size(); i-- > 0;) {
    require_whole_tokens(holders[i]);
    put_heads(blocks[i], holders[i].group_rank(), holders[i].of.tensor, whole);
  }
  return whole;
}

}  // namespace tandem
