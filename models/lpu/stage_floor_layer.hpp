// A layer's share as the stage floor sees it. Inside of models/lpu/stage_floor.
#pragma once

#include <algorithm>
#include <cstdint>

#include "sim/core/integers.hpp"
#include "sim/describe/neural_network.hpp"

namespace tandem::lpu {

/// What one of `ranks` chips computes of a layer.
struct FloorLayer {
  std::int64_t heads = 0, kv_heads = 0, head_dim = 0;
  std::int64_t window = 0;  ///< tokens that one sees; 0: all
  std::int64_t dense = 0;   ///< width of a dense block; 0: experts
  std::int64_t expert = 0, shared = 0, experts = 0, chosen = 0;
  std::int64_t groups = 1;
  bool norms_heads = false;
  bool keys_are_values = false;  ///< one product makes both
  // Instead of heads of its own:
  const LatentAttention* latent = nullptr;
  const GatedDelta* delta = nullptr;

  FloorLayer(const LayerKind& kind, std::int64_t ranks) {
    add_attention(kind.mixer, ranks);
    dense = ceil_div(kind.ffn.intermediate, ranks);
    if (!kind.ffn.experts) return;
    const Experts& mixture = *kind.ffn.experts;
    expert = ceil_div(mixture.intermediate, ranks);
    shared = mixture.shared > 0 ? ceil_div(mixture.shared_intermediate, ranks) : 0;
    experts = mixture.router.experts;
    chosen = mixture.router.top_k;
    groups = mixture.router.groups;
  }

  void add_attention(const Mixer& mixer, std::int64_t ranks) {
    latent = std::get_if<LatentAttention>(&mixer);
    delta = std::get_if<GatedDelta>(&mixer);
    const auto* attention = std::get_if<GroupedAttention>(&mixer);
    if (attention == nullptr) return;
    heads = attention->shape.heads / ranks;
    kv_heads = std::max<std::int64_t>(1, attention->shape.kv_heads / ranks);
    head_dim = attention->shape.head_dim;
    window = attention->shape.window;
    norms_heads = attention->qk_norm != QkNorm::None;
    keys_are_values = attention->keys_are_values;
  }
  [[nodiscard]] std::int64_t q_width() const { return heads * head_dim; }
  [[nodiscard]] std::int64_t kv_width() const { return kv_heads * head_dim; }
};

}  // namespace tandem::lpu
