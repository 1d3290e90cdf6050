#include "sim/service/kv_pieces.hpp"

#include <algorithm>

#include "sim/core/integers.hpp"

namespace tandem {
namespace {

/// KV heads that layers with a cache of their own are shared by; all latents of a token are one.
std::int64_t kv_heads_of(const NeuralNetwork& network) {
  std::int64_t heads = 1;
  for (const LayerKind& kind : network.kinds) {
    if (const auto* a = std::get_if<GroupedAttention>(&kind.mixer)) {
      heads = std::max(heads, a->shape.kv_heads);
    }
  }
  return heads;
}

/// A stage with layers, and what its chips hold.
struct LayerRange {
  std::int64_t first, end;
  std::vector<KvHolder> holders;
};

std::vector<LayerRange> layers_of(const PoolModel& pool) {
  std::vector<LayerRange> ranges;
  for (const Station& station : pool.stations()) {
    const Stage& stage = station.stages.front();
    if (stage.layers == 0) continue;
    ranges.push_back({stage.first_layer, stage.first_layer + stage.layers,
                      kv_holders(stage, station.first_chip)});
  }
  return ranges;
}

bool overlap(const KvHolder& a, const KvHolder& b) {
  const bool heads = a.heads.begin < b.heads.end && b.heads.begin < a.heads.end;
  // Equal numbers of chips share tokens alike: each sends to its like alone.
  return heads && (a.contexts != b.contexts || a.context == b.context);
}

/// Of senders with the very same part, the one whose turn it is for this receiver.
bool is_chosen(const std::vector<KvHolder>& senders, const KvHolder& sender, std::size_t receiver) {
  std::vector<std::int64_t> alike;
  for (const KvHolder& other : senders) {
    const bool same = other.heads.begin == sender.heads.begin &&
                      other.heads.end == sender.heads.end && other.context == sender.context;
    if (same) alike.push_back(other.chip);
  }
  return alike[receiver % alike.size()] == sender.chip;
}

}  // namespace

// A window holds its last tokens alone; recurrent states go with any part of a prompt.
Bytes KvPiece::size(std::int64_t tokens, std::int64_t kept) const {
  if (kept == 0) return Bytes(ceil_div(layers.cache_bytes(tokens).count() * share, shares));
  Stage layer = layers;
  layer.layers = 1;
  Bytes bytes{0};
  for (std::int64_t i = 0; i < layers.layers; ++i) {
    layer.first_layer = layers.first_layer + i;
    const std::int64_t window = cache_window(layer.network.layer(layer.first_layer));
    const std::int64_t first = window > 0 ? std::max(kept, tokens - window) : kept;
    bytes += layer.cache_bytes(tokens - first);
  }
  return Bytes(ceil_div(bytes.count() * share, shares));
}

std::vector<KvHolder> kv_holders(const Stage& stage, std::int64_t first_chip) {
  const std::int64_t heads = kv_heads_of(stage.network);
  const bool as_a_whole = stage.tensor > 1;  // a gang that its chip model runs
  const std::int64_t ranks = as_a_whole ? stage.tensor : stage.shard.of.tensor;
  const std::int64_t contexts = as_a_whole ? 1 : stage.shard.of.context;
  std::vector<KvHolder> holders;
  for (std::int64_t context = 0; context < contexts; ++context) {
    for (std::int64_t rank = 0; rank < ranks; ++rank) {
      const std::int64_t head = rank * heads / ranks;
      const ShareRange held =
          ranks <= heads ? share_of(heads, ranks, rank) : ShareRange{head, head + 1};
      holders.push_back({first_chip + context * ranks + rank, held, context, contexts});
    }
  }
  return holders;
}

std::vector<KvPiece> kv_pieces(const PoolModel& from, const PoolModel& to) {
  const NeuralNetwork& network = to.stations().front().stages.front().network;
  const std::int64_t heads = kv_heads_of(network);
  std::vector<KvPiece> pieces;
  const auto add = [&](const Stage& common, const KvHolder& a, const KvHolder& b) {
    const std::int64_t shared =
        std::min(a.heads.end, b.heads.end) - std::max(a.heads.begin, b.heads.begin);
    const std::int64_t parts = a.contexts == b.contexts ? a.contexts : a.contexts * b.contexts;
    pieces.push_back({a.chip, b.chip, common, shared, heads * parts});
  };
  for (const LayerRange& sender : layers_of(from)) {
    for (const LayerRange& receiver : layers_of(to)) {
      Stage common;
      common.first_layer = std::max(sender.first, receiver.first);
      common.layers = std::min(sender.end, receiver.end) - common.first_layer;
      if (common.layers <= 0) continue;
      common.network = network;
      common.precision = to.placement().precision;
      for (std::size_t r = 0; r < receiver.holders.size(); ++r) {
        for (const KvHolder& holder : sender.holders) {
          const KvHolder& target = receiver.holders[r];
          if (overlap(holder, target) && is_chosen(sender.holders, holder, r)) {
            add(common, holder, target);
          }
        }
      }
    }
  }
  return pieces;
}

}  // namespace tandem
