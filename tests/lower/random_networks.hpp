// Random small networks: any mixer with any feed-forward half and any norms that go together.
#pragma once

#include <cstdint>
#include <vector>

#include "sim/core/random.hpp"
#include "tests/lower/tiny_networks.hpp"

namespace tandem::test {

/// Draws parts of networks from one stream.
class NetworkMaker {
 public:
  explicit NetworkMaker(RandomStream& random) : random_(random) {}

  bool coin() { return random_.integer(0, 1) == 1; }
  std::int64_t among(std::int64_t low, std::int64_t high) { return random_.integer(low, high); }

  ops::Rope rope(std::int64_t width) {
    ops::Rope rope = tiny_rope(coin() ? 10000 : 5e5, width);
    if (coin()) rope.layout = RopeLayout::Interleaved;
    const std::int64_t scaling = among(0, 5);
    if (scaling == 0) rope.scaling = ops::YarnScaling{8, 16, 4, 1, coin(), 1, coin() ? 1.0 : 0.0};
    if (scaling == 1) rope.scaling = ops::Llama3Scaling{4, 1, 4, 32};
    if (scaling == 2) rope.scaling = ops::LinearScaling{4};
    if (scaling > 2 && coin()) {
      rope.rotated = width / 2;
      if (coin()) rope.partial = ops::PartialRotary::Proportional;
    }
    return rope;
  }

  GroupedAttention grouped() {
    const std::int64_t kv_heads = among(1, 2);
    GroupedAttention a = tiny_attention(kv_heads * among(1, 2), kv_heads, 4 * among(1, 2));
    if (coin()) a.shape.window = among(1, 12);
    if (coin()) a.shape.scale = 0.4;
    if (coin()) a.shape.softcap = 6;
    if (among(0, 3) > 0) a.rope = rope(a.shape.head_dim);
    a.qk_norm = static_cast<QkNorm>(among(0, 2));
    a.output_gate = coin();
    a.sinks = coin();
    a.qkv_bias = coin();
    a.output_bias = coin();
    a.keys_are_values = coin();
    a.value_norm = coin();
    return a;
  }

  LatentAttention latent() {
    LatentAttention a;
    a.shape = {among(1, 3), coin() ? 6 : 0, among(4, 9), among(2, 5), 4, among(2, 6), 1};
    a.rope = rope(a.shape.rope_dim);
    a.rope.rotated = a.shape.rope_dim;
    a.rope.partial = ops::PartialRotary::FirstDims;
    a.shape.scale_factor = ops::yarn_softmax_factor(a.rope);
    if (coin()) a.indexer = ops::IndexerShape{among(1, 2), 4 + 2 * among(0, 2), among(1, 6)};
    return a;
  }

  GatedDelta delta() {
    const std::int64_t heads = among(1, 2);
    return {{heads, heads * among(1, 2), among(2, 6), among(2, 6), among(1, 4), among(1, 6)}};
  }

  Mixer mixer() {
    switch (among(0, 2)) {
      case 0:
        return grouped();
      case 1:
        return latent();
      default:
        return delta();
    }
  }

  Experts experts() {
    Experts e =
        tiny_experts(static_cast<ops::RouterRule>(among(0, 2)), 8, among(1, 3), among(2, 9));
    e.router.renormalise = coin();
    e.router.bias = coin();
    e.router.scale = coin() ? 1.0 : 2.5;
    if (e.router.rule != ops::RouterRule::TopkSoftmax && coin()) {
      e.router.groups = 4;
      e.router.top_groups = 2;
      e.router.group_score = coin() ? ops::GroupScore::Best : ops::GroupScore::SumOfTop2;
      e.router.group_mask = coin() ? ops::GroupMask::MinusInfinity : ops::GroupMask::Zero;
    }
    e.shared = among(0, 1);
    e.shared_intermediate = e.shared * 6;
    e.shared_gate = e.shared > 0 && coin();
    e.bias = coin();
    e.router_norm = coin();
    e.expert_scale = coin();
    return e;
  }

  FeedForward ffn() {
    FeedForward f;
    const std::int64_t parts = among(0, 2);  // dense, experts, both
    if (parts != 1) f.intermediate = among(3, 17);
    f.activation = static_cast<ActivationKind>(among(0, 3));
    f.gated = f.activation == ActivationKind::ClampedSwiglu || coin();
    f.bias = coin();
    if (parts != 0) f.experts = experts();
    return f;
  }

  LayerKind kind() { return {mixer(), ffn(), coin()}; }

  NeuralNetwork network() {
    std::vector<LayerKind> kinds;
    for (std::int64_t i = among(1, 2); i > 0; --i) kinds.push_back(kind());
    std::vector<std::int32_t> pattern;
    for (std::int64_t i = among(1, 3); i > 0; --i) {
      pattern.push_back(
          static_cast<std::int32_t>(among(0, static_cast<std::int64_t>(kinds.size()) - 1)));
    }
    NeuralNetwork network = tiny_network_of("random", 4 * among(2, 5), 23, kinds, pattern);
    network.max_context = 24;
    network.norm.kind = among(0, 3) == 0 ? NormKind::Layer : NormKind::Rms;
    network.norm.one_plus_weight = network.norm.kind == NormKind::Rms && coin();
    network.tied_embeddings = coin();
    network.learned_positions = coin();
    network.embedding_scale = coin() ? 1 : 3;
    network.final_softcap = coin() ? 0 : 20;
    return network;
  }

 private:
  RandomStream& random_;
};

}  // namespace tandem::test
